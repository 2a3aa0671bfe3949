import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** The same event twice at once, and a third time when it is done. */
export const duplicate: Scenario = {
  name: "duplicate",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one" }));
        context.emit("Done", {});
      },
    }),
  ],
  events: [{ eventId: "a" }, { eventId: "a" }, { eventId: "a", atMs: 1_500 }],
  expected: { a: { ends: "completed", deeds: [{ deed: "one", happens: "per-key" }], emits: 1 } },
};
