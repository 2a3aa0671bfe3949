import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** The store goes away in the middle of a run, and comes back. */
export const storeOutage: Scenario = {
  name: "store-outage",
  dependencies: ({ ledger }) => [ledger],
  skills: ({ ledger }) => [
    defineSkill({
      name: "task",
      handles,
      uses: [ledger],
      retry: quickRetry,
      async run(context) {
        await context.step("one", {}, (step) => step.call(ledger, { deed: "one", takesMs: 200 }));
        await context.step("two", {}, (step) => step.call(ledger, { deed: "two" }));
        context.emit("Done", {});
      },
    }),
  ],
  events: [{ eventId: "a" }, { eventId: "b", atMs: 150 }],
  happens: (happenings) => {
    happenings.at(100, () => happenings.storeDown());
    happenings.at(4_000, () => happenings.storeBack());
  },
  expected: Object.fromEntries(
    ["a", "b"].map((id) => [id, { ends: "completed", deeds: ["one", "two"].map((deed) => ({ deed, happens: "per-key" as const })), emits: 1 }]),
  ),
};
