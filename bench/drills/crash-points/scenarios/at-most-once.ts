import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** In doubt it is parked, never tried again. */
export const atMostOnce: Scenario = {
  name: "at-most-once",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        await context.step("before", {}, (step) => step.call(ledger, { deed: "before" }));
        await context.step("pay", { kind: "atMostOnce" }, (step) => step.call(ledger, { deed: "pay" }));
        await context.step("after", {}, (step) => step.call(ledger, { deed: "after" }));
      },
    }),
  ],
  events: [{ eventId: "a" }],
  expected: {
    a: {
      ends: "completed",
      orEnds: ["dead-lettered: OutcomeUnknown"],
      deeds: [
        { deed: "before", happens: "per-key" },
        { deed: "pay", happens: "once" },
        { deed: "after", happens: "per-key" },
      ],
      emits: 0,
    },
  },
};
