import { defineSkill, PermanentError, TransientError } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

const undoneFromMs = 2_000;

/** A critical run fails for good behind three steps: they are compensated, the last one first; the second one not at its first try. */
export const saga: Scenario = {
  name: "saga",
  dependencies: ({ ledger, search }) => [ledger, search],
  skills: ({ ledger, search, nowMs }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger, search],
      retry: quickRetry,
      critical: true,
      async run(context) {
        const { eventId } = context.event;
        await context.step("one", { compensate: (undo) => undo.call(ledger, { deed: "undo one", isUndoing: true }) }, (step) =>
          step.call(ledger, { deed: "one" }),
        );
        await context.step(
          "two",
          {
            async compensate(undo) {
              await undo.call(ledger, { deed: "undo two", isUndoing: true });
              if (nowMs() < undoneFromMs) throw new TransientError("not yet");
            },
          },
          (step) => step.call(ledger, { deed: "two" }),
        );
        await context.step(
          "three",
          {
            kind: "queryable",
            query: (step) => step.call(search, { eventId, deed: "three" }),
            compensate: (undo) => undo.call(ledger, { deed: "undo three", isUndoing: true }),
          },
          (step) => step.call(ledger, { deed: "three" }),
        );
        throw new PermanentError("it cannot be", { code: "HOPELESS" });
      },
    }),
  ],
  events: [{ eventId: "a" }],
  expected: {
    a: {
      ends: "dead-lettered: HOPELESS",
      deeds: [
        { deed: "one", happens: "per-key" },
        { deed: "two", happens: "per-key" },
        { deed: "three", happens: "once" },
        { deed: "undo three", happens: "per-key" },
        { deed: "undo two", happens: "per-key" },
        { deed: "undo one", happens: "per-key" },
      ],
      undone: ["three", "two", "one"],
      emits: 0,
    },
  },
};
