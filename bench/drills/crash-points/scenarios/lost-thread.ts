import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** A thread dies with two runs on it; each goes on from its own checkpoint. */
export const lostThread: Scenario = {
  name: "lost-thread",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one" }));
        await context.step("two", {}, (step) => step.call(ledger, { deed: "two", takesMs: 300 }));
      },
    }),
  ],
  events: [{ eventId: "a" }, { eventId: "b" }],
  happens: (happenings) => happenings.at(150, () => happenings.loseThread()),
  expected: Object.fromEntries(
    ["a", "b"].map((id) => [id, { ends: "completed", deeds: ["one", "two"].map((deed) => ({ deed, happens: "per-key" as const })), emits: 0 }]),
  ),
};
