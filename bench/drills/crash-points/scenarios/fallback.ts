import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** The first way is refused for certain; the second one answers. */
export const fallback: Scenario = {
  name: "fallback",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        const answer = await context.step(
          "answer",
          { fallbacks: [{ name: "second", quality: "degraded", answer: (step) => step.call(ledger, { deed: "good enough" }) }] },
          (step) => step.call(ledger, { deed: "best", refused: true }),
        );
        context.emit("Answered", { answer });
      },
    }),
  ],
  events: [{ eventId: "a" }],
  expected: { a: { ends: "completed", deeds: [{ deed: "good enough", happens: "per-key" }], emits: 1 } },
};
