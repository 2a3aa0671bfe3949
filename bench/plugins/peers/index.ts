/** The work of the contenders, as skills. */
import { type Plugin, type Skill, defineDependency, definePlugin, defineSkill, PermanentError, TransientError } from "#runtime/index.ts";
import { placeOf } from "#load/generator/plain.ts";
import { plantedAt } from "../../support/plant.ts";
import { type EventType, FirstFailure, type Handler, handlers, type Payload, PlantedFailure } from "../../peers/handlers.ts";

const sound = defineDependency({ name: "sound", bulkhead: { concurrentMax: 64, queueMax: 512 } });
const troubled = defineDependency({ name: "troubled", bulkhead: { concurrentMax: 64, queueMax: 512 } });
const dependencies = { sound, troubled };
const hook = { method: "POST", path: "/hooks/bench", body: {} } as const;
const retry = { attemptsMax: 10, immediateMax: 2, immediateDelayMs: 1, baseDelayMs: 500, delayFactor: 2, delayMaxMs: 2_000 } as const;

function skillOf(name: EventType, handler: Handler): Skill {
  const dependency = name === "sound" || name === "troubled" ? dependencies[name] : undefined;
  return defineSkill<Payload>({
    name,
    handles: [{ eventType: name, versions: "1.x" }],
    timeoutMs: 60_000,
    retry,
    ...(dependency === undefined ? undefined : { uses: [dependency] }),
    run(context) {
      const { event, attempt } = context;
      const { eventId, payload } = event;
      const place = placeOf(eventId) ?? -1;
      const tools = {
        step: (step: string, effect: () => unknown) => context.step(step, { kind: "idempotent" }, effect).then(() => undefined),
        call: (to: keyof typeof dependencies) =>
          context.step("call", async (step) => {
            await step.call(dependencies[to], hook);
            if (plantedAt(place) === "twice") await step.call(dependencies[to], hook);
          }),
      };
      const failed = (error: unknown): never => {
        if (error instanceof PlantedFailure) throw new PermanentError(error.message);
        throw error instanceof FirstFailure ? new TransientError(error.message) : error;
      };
      try {
        const done = handler({ place, eventId, attempt, payload }, tools);
        return done instanceof Promise ? done.catch(failed) : done;
      } catch (error) {
        return failed(error);
      }
    },
  });
}

const plugin: Plugin = definePlugin({
  skills: (Object.entries(handlers) as [EventType, Handler][]).map(([name, handler]) => skillOf(name, handler)),
  dependencies: [sound, troubled],
});
export default plugin;
