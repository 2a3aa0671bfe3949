import { defineSkill, PermanentError } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

const mendedAtMs = 60_000;

/** An event is given up, what was wrong is mended, and it is sent again by hand: it goes on behind its checkpoint. */
export const resend: Scenario = {
  name: "resend",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger, nowMs }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one" }));
        if (nowMs() < mendedAtMs) throw new PermanentError("it cannot be yet", { code: "UNMENDED" });
        await context.step("two", {}, (step) => step.call(ledger, { deed: "two" }));
        context.emit("Done", {});
      },
    }),
  ],
  events: [{ eventId: "a" }, { eventId: "a", atMs: mendedAtMs }],
  expected: {
    a: { ends: "completed and dead-lettered: UNMENDED", deeds: ["one", "two"].map((deed) => ({ deed, happens: "per-key" })), emits: 1 },
  },
};
