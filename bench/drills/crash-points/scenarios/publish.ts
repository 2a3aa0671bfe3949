import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** Events from within a step and from outside of it. */
export const publish: Scenario = {
  name: "publish",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        context.emit("Begun", {});
        await context.step("one", {}, async (step) => {
          const result = await step.call(ledger, { deed: "one" });
          step.emit("Stepped", { result });
        });
        context.emit("Ended", {});
      },
    }),
  ],
  events: [{ eventId: "a" }],
  expected: { a: { ends: "completed", deeds: [{ deed: "one", happens: "per-key" }], emits: 3 } },
};
