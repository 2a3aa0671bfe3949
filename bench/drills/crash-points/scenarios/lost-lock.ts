import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** The broker ends every lock while a step is at work: the event is redelivered while its first run still acts. */
export const lostLock: Scenario = {
  name: "lost-lock",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one", takesMs: 500 }));
        await context.step("two", {}, (step) => step.call(ledger, { deed: "two" }));
        context.emit("Done", {});
      },
    }),
  ],
  events: [{ eventId: "a" }],
  happens: (happenings) => happenings.at(200, () => happenings.loseLocks()),
  expected: { a: { ends: "completed", deeds: ["one", "two"].map((deed) => ({ deed, happens: "per-key" })), emits: 1 } },
};
