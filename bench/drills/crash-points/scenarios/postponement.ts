import { defineSkill } from "#runtime/index.ts";
import { handles, quickRetry, type Scenario } from "../scenario.ts";

/** One slot and one place to wait for three events: one of them has to be postponed. */
export const postponement: Scenario = {
  name: "postponement",
  dependencies: (outside) => [narrow(outside)],
  skills: (outside) => {
    const slow = narrow(outside);
    const task = defineSkill({
      name: "task",
      handles,
      uses: [slow],
      retry: quickRetry,
      run: (context) => context.step("one", {}, (step) => step.call(slow, { deed: "one", takesMs: 300 })),
    });
    return [task];
  },
  events: ["a", "b", "c"].map((eventId) => ({ eventId })),
  expected: Object.fromEntries(["a", "b", "c"].map((id) => [id, { ends: "completed", deeds: [{ deed: "one", happens: "per-key" as const }], emits: 0 }])),
};

function narrow(outside: Parameters<Scenario["skills"]>[0]): ReturnType<typeof outside.dependency> {
  return outside.dependency("narrow", { bulkhead: { concurrentMax: 1, queueMax: 1, waitMaxMs: 100 } });
}
