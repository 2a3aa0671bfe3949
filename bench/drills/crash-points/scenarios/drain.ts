import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** The worker is stopped with one run that can end, one that has to be interrupted, and messages that have not begun. */
export const drain: Scenario = {
  name: "drain",
  dependencies: (outside) => [few(outside)],
  skills: (outside) => {
    const slow = few(outside);
    const task = defineSkill<{ readonly takesMs: number }>({
      name: "task",
      handles,
      uses: [slow],
      retry: quickRetry,
      async run(context) {
        const { takesMs } = context.event.payload;
        await context.step("one", {}, (step) => step.call(slow, { deed: "one", takesMs }));
        await context.step("two", {}, (step) => step.call(slow, { deed: "two", takesMs }));
      },
    });
    return [task];
  },
  events: [
    { eventId: "short", payload: { takesMs: 400 } },
    { eventId: "long", payload: { takesMs: 3_800 } },
    { eventId: "waiting", payload: { takesMs: 10 } },
  ],
  happens: (happenings) => happenings.at(300, () => happenings.stopWorker()),
  expected: Object.fromEntries(
    ["short", "long", "waiting"].map((id) => [
      id,
      { ends: "completed", deeds: ["one", "two"].map((deed) => ({ deed, happens: "per-key" as const })), emits: 0 },
    ]),
  ),
};

function few(outside: Parameters<Scenario["skills"]>[0]): ReturnType<typeof outside.dependency> {
  return outside.dependency("few", { bulkhead: { concurrentMax: 2, queueMax: 4, waitMaxMs: 5_000 } });
}
