import { defineSkill, PermanentError } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** One of the compensations is refused for good: that is recorded, and the others are carried out. */
export const sagaFailed: Scenario = {
  name: "saga-failed",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      critical: true,
      async run(context) {
        for (const name of ["one", "two", "three"]) {
          const refused = name === "two" ? ({ refused: true } as const) : {};
          await context.step(name, { compensate: (undo) => undo.call(ledger, { deed: `undo ${name}`, isUndoing: true, ...refused }) }, (step) =>
            step.call(ledger, { deed: name }),
          );
        }
        throw new PermanentError("it cannot be", { code: "HOPELESS" });
      },
    }),
  ],
  events: [{ eventId: "a" }],
  expected: {
    a: {
      ends: "dead-lettered: CompensationFailed",
      deeds: ["one", "two", "three", "undo three", "undo one"].map((deed) => ({ deed, happens: "per-key" })),
      undone: ["three", "one"],
      emits: 0,
    },
  },
};
