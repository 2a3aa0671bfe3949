import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** The dependency has no keys, and can be asked: the effect must begin once. */
export const queryable: Scenario = {
  name: "queryable",
  dependencies: ({ ledger, search }) => [ledger, search],
  skills: ({ ledger, search }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger, search],
      retry: quickRetry,
      async run(context) {
        const { eventId } = context.event;
        await context.step("pay", { kind: "queryable", query: (step) => step.call(search, { eventId, deed: "pay" }) }, (step) =>
          step.call(ledger, { deed: "pay" }),
        );
      },
    }),
  ],
  events: [{ eventId: "a" }],
  expected: { a: { ends: "completed", deeds: [{ deed: "pay", happens: "once" }], emits: 0 } },
};
