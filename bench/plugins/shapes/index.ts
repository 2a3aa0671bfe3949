/** Shapes of work: what holds its thread, what only waits, what is over at once. */
import { setTimeout as pause } from "node:timers/promises";
import { type Plugin, type Skill, type SkillContext, definePlugin, defineSkill } from "#runtime/index.ts";

const never = new Int32Array(new SharedArrayBuffer(4));

function shape(name: string, run: (context: SkillContext<Readonly<Record<string, number>>>) => unknown): Skill {
  return defineSkill({ name, handles: [{ eventType: name, versions: "1.x" }], timeoutMs: 30_000, run });
}

const plugin: Plugin = definePlugin({
  skills: [
    /** Holds its thread for 200 ms, without using a core: what a core would bring is not measured. */
    shape("block", () => void Atomics.wait(never, 0, 0, 200)),
    shape("wait", () => pause(100)),
    shape("long", () => pause(2_000)),
    shape("quick", () => pause(1)),
    shape("nothing", () => undefined),
    /** As long as its message says. */
    shape("sized", ({ event }) => (event.payload["waitMs"]! > 0 ? pause(event.payload["waitMs"]) : undefined)),
    shape("steps", async (context) => {
      for (const name of ["one", "two", "three"]) await context.step(name, { kind: "idempotent" }, () => undefined);
    }),
  ],
});
export default plugin;
