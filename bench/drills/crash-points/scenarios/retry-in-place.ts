import { defineSkill, TransientError } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

export const retryInPlace: Scenario = {
  name: "retry-in-place",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one" }));
        if (context.attempt === 1) throw new TransientError("not yet");
        await context.step("two", {}, (step) => step.call(ledger, { deed: "two" }));
      },
    }),
  ],
  events: [{ eventId: "a" }],
  expected: { a: { ends: "completed", deeds: ["one", "two"].map((deed) => ({ deed, happens: "per-key" })), emits: 0 } },
};
