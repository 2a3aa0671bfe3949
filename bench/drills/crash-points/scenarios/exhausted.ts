import { defineSkill, TransientError } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** It fails every time, until its attempts are used up. */
export const exhausted: Scenario = {
  name: "exhausted",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: { ...quickRetry, attemptsMax: 3 },
      async run(context) {
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one" }));
        throw new TransientError("not today");
      },
    }),
  ],
  events: [{ eventId: "a" }],
  expected: { a: { ends: "dead-lettered: RetriesExhausted", deeds: [{ deed: "one", happens: "per-key" }], emits: 0 } },
};
