import { defineSkill, PermanentError, TransientError } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** Events that end in different ways go through the same calls together. */
export const batch: Scenario = {
  name: "batch",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill<{ readonly way: string }>({
      name: "task",
      handles,
      uses: [ledger],
      retry: { ...quickRetry, immediateMax: 0 },
      async run(context) {
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one" }));
        const { way } = context.event.payload;
        if (way === "refused") throw new PermanentError("it cannot be", { code: "HOPELESS" });
        if (way === "late" && context.attempt === 1) throw new TransientError("not yet");
        context.emit("Done", {});
      },
    }),
  ],
  events: ["good", "refused", "late", "fine"].map((way) => ({ eventId: way, payload: { way } })),
  expected: Object.fromEntries(
    ["good", "refused", "late", "fine"].map((way) => [
      way,
      {
        ends: way === "refused" ? "dead-lettered: HOPELESS" : "completed",
        deeds: [{ deed: "one", happens: "per-key" as const }],
        emits: way === "refused" ? 0 : 1,
      },
    ]),
  ),
};
