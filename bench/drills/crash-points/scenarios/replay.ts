import { defineSkill, PermanentError } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

const mendedAtMs = 60_000;

/** Events are given up, what was wrong with two of them is mended, and all are replayed: those go on behind their checkpoints, the other fails as before. */
export const replay: Scenario = {
  name: "replay",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger, nowMs }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one" }));
        if (context.event.eventId === "hopeless") throw new PermanentError("it cannot be", { code: "HOPELESS" });
        if (nowMs() < mendedAtMs) throw new PermanentError("it cannot be yet", { code: "UNMENDED" });
        await context.step("two", {}, (step) => step.call(ledger, { deed: "two" }));
        context.emit("Done", {});
      },
    }),
  ],
  events: ["mended", "other", "hopeless"].map((eventId) => ({ eventId })),
  happens: (happenings) => happenings.at(mendedAtMs, () => happenings.replayLetters()),
  expected: {
    ...Object.fromEntries(
      ["mended", "other"].map((id) => [id, { ends: "completed", deeds: ["one", "two"].map((deed) => ({ deed, happens: "per-key" as const })), emits: 1 }]),
    ),
    hopeless: { ends: "dead-lettered: HOPELESS", deeds: [{ deed: "one", happens: "per-key" }], emits: 0 },
  },
};
