import { defineSkill, TransientError } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** Its second and third try come by way of scheduled copies. */
export const retryByCopy: Scenario = {
  name: "retry-by-copy",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: { ...quickRetry, immediateMax: 0 },
      async run(context) {
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one" }));
        if (context.attempt <= 2) throw new TransientError("not yet");
        await context.step("two", {}, (step) => step.call(ledger, { deed: "two" }));
      },
    }),
  ],
  events: [{ eventId: "a" }],
  expected: { a: { ends: "completed", deeds: ["one", "two"].map((deed) => ({ deed, happens: "per-key" })), emits: 0 } },
};
