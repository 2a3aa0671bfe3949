/** The plugin of the order drill: one effect a message, failures by chance or for good, and a state that goes from each message to the next. */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import type { SessionFailure } from "#runtime/core/config/sessions.ts";

export const effectsDependency = "effects";
export const eventType = "Ordered";
/** A step by whose call a run says that it found another state than the one before it had left. */
export const strangeStep = "strange-state";

/** One in so many messages fails at each try, where its session goes on without it. */
const doomedEach = 13;

export function isDoomed(index: number, onFailure: SessionFailure): boolean {
  return onFailure === "skip" && index % doomedEach === doomedEach - 1;
}

const runtime = fileURLToPath(import.meta.resolve("#runtime/index.ts"));
const retry = { attemptsMax: 3, immediateMax: 1, immediateDelayMs: 20, baseDelayMs: 200, delayFactor: 2, delayMaxMs: 1_000 };

function sourceOf(onFailure: SessionFailure): string {
  return `import { createHash } from "node:crypto";
import { defineDependency, definePlugin, defineSkill, TransientError } from ${JSON.stringify(runtime)};
const effects = defineDependency({ name: "${effectsDependency}", bulkhead: { concurrentMax: 64, queueMax: 256 } });
const act = (step) => step.call(effects, { method: "POST", path: "/do" });
const isDoomed = (index) => ${JSON.stringify(onFailure)} === "skip" && index % ${doomedEach} === ${doomedEach - 1};
const chance = (text) => createHash("sha256").update(text).digest().readUInt32BE() / 2 ** 32;
const ordered = defineSkill({ name: "ordered", handles: [{ eventType: "${eventType}", versions: "1.x" }], uses: [effects], retry: ${JSON.stringify(retry)}, async run(context) {
  const { index, failing, seed } = context.event.payload;
  const { last = -1 } = (await context.session?.getState()) ?? {};
  let before = index - 1;
  while (before >= 0 && isDoomed(before)) before -= 1;
  if (last !== before) await context.step("${strangeStep}", act);
  await context.step("effect", act);
  if (isDoomed(index)) throw new TransientError("it fails at each try", { code: "DOOMED" });
  if (context.attempt <= 2 && chance(seed + context.event.eventId + context.attempt) < failing) throw new TransientError("it fails by chance", { code: "BY_CHANCE" });
  context.session?.setState({ last: index });
} });
export default definePlugin({ skills: [ordered], dependencies: [effects] });
`;
}

/** Writes it below the folder; answers where. */
export function writeOrderPlugin(folder: string, onFailure: SessionFailure): string {
  const place = join(folder, "ordered");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "ordered", version: "1.0.0", entry: "./index.ts", skills: ["ordered"], dependencies: [effectsDependency] }),
  );
  writeFileSync(join(place, "index.ts"), sourceOf(onFailure));
  return place;
}
