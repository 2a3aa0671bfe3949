import { defineSkill, PermanentError } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** One fails for good, one is invalid; a third one shares the first one's fate. */
export const deadLetter: Scenario = {
  name: "dead-letter",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      payload: { type: "object", required: ["amount"] },
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        context.emit("Begun", {});
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one" }));
        throw new PermanentError("it cannot be", { code: "HOPELESS" });
      },
    }),
  ],
  events: [
    { eventId: "hopeless", payload: { amount: 1 } },
    { eventId: "invalid", payload: {} },
    { eventId: "hopeless", payload: { amount: 1 } },
  ],
  expected: {
    hopeless: { ends: "dead-lettered: HOPELESS", deeds: [{ deed: "one", happens: "per-key" }], emits: 0 },
    invalid: { ends: "dead-lettered: InvalidPayload", deeds: [], emits: 0 },
  },
};
