/** The plugin of the drills that act on whole processes: a skill for each kind of step, one that is undone, one that ends its thread. */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

export const effectsDependency = "effects";
/** Code of the failure that a saga's runs end with. */
export const sagaCode = "SOLD_OUT";

/** Why events of a skill with a mistake in it are dead-lettered: an error that says nothing of it is tried again. */
export const mistakenReason = "RetriesExhausted";
/** Where the mistake is, and how it is mended. */
export const mistake = "return body.receipt.id;";
export const mended = "return body.receipt?.id ?? null;";

/** Event types, each with the steps that its run records when it completes. */
export const kinds = {
  Keyed: ["one", "two"],
  Queryable: ["one", "pay"],
  AtMostOnce: ["one", "pay"],
  Saga: ["book", "charge", "notify"],
  /** Takes an answer for what it is not: fails for good, on one line. */
  Mistaken: ["one", "pay"],
  /** Ends its thread in the way that the payload names, so often; then it completes. */
  Hostile: ["one"],
} as const;
export type Kind = keyof typeof kinds;

const runtime = fileURLToPath(import.meta.resolve("#runtime/index.ts"));
const retry = { attemptsMax: 10, immediateDelayMs: 100, baseDelayMs: 1_000, delayFactor: 2, delayMaxMs: 5_000 };
/** Of a run that loops for ever, and how often it may: each time takes a thread from the others. */
const hostileTimeoutMs = 2_000;
const mistakenRetry = { ...retry, attemptsMax: 2 };
const hostileRetry = { ...retry, attemptsMax: 4 };

function sourceOf(folder: string): string {
  return `import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineDependency, definePlugin, defineSkill, PermanentError } from ${JSON.stringify(runtime)};
const effects = defineDependency({ name: "${effectsDependency}", bulkhead: { concurrentMax: 32, queueMax: 128 } });
const act = (step) => step.call(effects, { method: "POST", path: "/do" });
const undo = (step) => step.call(effects, { method: "POST", path: "/undo" });
const common = { uses: [effects], retry: ${JSON.stringify(retry)} };
const handling = (eventType) => [{ eventType, versions: "1.x" }];

const keyed = defineSkill({ name: "keyed", handles: handling("Keyed"), ...common, async run(context) {
  await context.step("one", act);
  await context.step("two", act);
} });
const queryable = defineSkill({ name: "queryable", handles: handling("Queryable"), ...common, async run(context) {
  await context.step("one", act);
  const query = async (step) => (await step.call(effects, { method: "GET", path: "/done/pay" })).body.isDone ? "found" : undefined;
  await context.step("pay", { kind: "queryable", query }, async (step) => { await act(step); return "paid"; });
} });
const atMostOnce = defineSkill({ name: "at-most-once", handles: handling("AtMostOnce"), ...common, async run(context) {
  await context.step("one", act);
  await context.step("pay", { kind: "atMostOnce" }, act);
} });
const saga = defineSkill({ name: "saga", handles: handling("Saga"), ...common, critical: true, async run(context) {
  for (const name of ${JSON.stringify(kinds.Saga)}) await context.step(name, { compensate: undo }, act);
  throw new PermanentError("it is sold out", { code: "${sagaCode}" });
} });
const mistaken = defineSkill({ name: "mistaken", handles: handling("Mistaken"), ...common, retry: ${JSON.stringify(mistakenRetry)}, async run(context) {
  await context.step("one", act);
  await context.step("pay", async (step) => {
    const { body } = await act(step);
    ${mistake}
  });
} });
const hostile = defineSkill({ name: "hostile", handles: handling("Hostile"), ...common, retry: ${JSON.stringify(hostileRetry)}, timeoutMs: ${hostileTimeoutMs}, async run(context) {
  const { deed, times } = context.event.payload;
  const file = join(${JSON.stringify(folder)}, "hostile-" + context.event.eventId);
  const before = existsSync(file) ? readFileSync(file, "utf8").length : 0;
  if (before < times) {
    appendFileSync(file, ".");
    if (deed === "exit") process.exit(1);
    if (deed === "memory") for (const kept = [];;) kept.push(new Array(1_000_000).fill(kept.length + 0.5));
    if (deed === "loop") for (;;);
  }
  await context.step("one", act);
} });
export default definePlugin({ skills: [keyed, queryable, atMostOnce, saga, mistaken, hostile], dependencies: [effects] });
`;
}

/** Writes it below the folder; answers where. */
export function writeEffectsPlugin(folder: string): string {
  const place = join(folder, "effects");
  mkdirSync(place);
  const skills = ["keyed", "queryable", "at-most-once", "saga", "mistaken", "hostile"];
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "effects", version: "1.0.0", entry: "./index.ts", skills, dependencies: [effectsDependency] }),
  );
  writeFileSync(join(place, "index.ts"), sourceOf(folder));
  return place;
}
