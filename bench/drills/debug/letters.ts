/** One dead letter, gone through by the command; and the test that it writes. */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Kind, mended, mistake } from "../effects/plugin.ts";
import type { Scene } from "../faults/scene.ts";

export interface Letter {
  readonly eventId: string;
  readonly kind: Kind;
  /** Kind and reason. */
  readonly group: string;
}

/** Of what the command prints as JSON. */
interface Printed {
  readonly comparison: string;
  readonly differences: readonly string[];
  readonly recorded?: { readonly at: string; readonly code: string };
  readonly now?: { readonly at: string };
  readonly calls: readonly { readonly step?: string; readonly key: string }[];
  readonly refused: readonly string[];
}

const root = resolve(import.meta.dirname, "../../..");

/** All that there is outside: what the dependency was asked, what lies in the queue and among the dead letters, and the run's record. */
async function outside(scene: Scene, eventId: string): Promise<unknown> {
  const record = (await scene.records([eventId])).get(eventId);
  const { writtenAgoMs: _ago, ...kept } = record ?? { writtenAgoMs: 0 };
  return { calls: scene.ledger.calls.length, waiting: await scene.waiting(), dead: await scene.deadLetters(), kept };
}

function debug(scene: Scene, args: readonly string[]): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [join(root, "runtime/cli/main.ts"), "debug", ...args, "-c", scene.configFile], { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return new Promise((ended) => child.on("close", (code) => ended({ code, stdout, stderr })));
}

function mistakeLine(scene: Scene): number {
  const lines = readFileSync(pluginFile(scene), "utf8").split("\n");
  return lines.findIndex((line) => line.includes(mistake)) + 1;
}

const pluginFile = ({ folder }: Scene): string => join(folder, "effects/index.ts");

/** Answers what is not as it should be, and how many calls were answered from the record. */
export async function goThrough(scene: Scene, { eventId, kind }: Letter): Promise<{ readonly differs: readonly string[]; readonly calls: number }> {
  const before = await outside(scene, eventId);
  const { code, stdout, stderr } = await debug(scene, [eventId, "--json"]);
  const differs: string[] = [];
  if (!isDeepStrictEqual(await outside(scene, eventId), before)) differs.push("something outside has changed");
  if (code !== 0 && stdout === "") return { differs: [...differs, `debug ended with ${code}: ${stderr}`], calls: 0 };
  const { comparison, differences, recorded, now, calls, refused } = JSON.parse(stdout) as Printed;
  if (comparison !== "same failure") differs.push(`expected the same failure, found ${comparison}: ${[...differences, ...refused].join("; ")}`);
  const line = kind === "Mistaken" ? `index.ts:${mistakeLine(scene)}:` : "";
  if (!(now?.at ?? "").startsWith(line)) differs.push(`expected the line of the mistake, ${line} found ${now?.at}, on record ${recorded?.at}`);
  const known = new Set(scene.ledger.calls.filter((call) => call.eventId === eventId).map(({ step, key }) => `${step} ${key}`));
  for (const { step, key } of calls)
    if (!known.has(`${step} ${key}`)) differs.push(`a call of step '${step}' has the key ${key}, which the dependency never saw`);
  if (kind === "Mistaken" && calls.length !== 1) differs.push(`expected the one call of the step that failed, found ${calls.length}`);
  return { differs, calls: calls.length };
}

/** What the plugin and the test import as a project would. */
function installPackage(folder: string): void {
  const own = join(folder, "node_modules/holdfast");
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, "package.json"), JSON.stringify({ name: "holdfast", type: "module", exports: { ".": "./index.js", "./testing": "./testing.js" } }));
  writeFileSync(join(own, "index.js"), `export * from ${JSON.stringify(join(root, "runtime/index.ts"))};\n`);
  writeFileSync(join(own, "testing.js"), `export * from ${JSON.stringify(join(root, "runtime/testing/index.ts"))};\n`);
}

function passes(file: string): boolean {
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
  return spawnSync(process.execPath, ["--test", file], { env }).status === 0;
}

/** Answers what is wrong with the test that is written of it. */
export async function writtenTest(scene: Scene, { eventId }: Letter): Promise<readonly string[]> {
  installPackage(scene.folder);
  const plugin = pluginFile(scene);
  const source = readFileSync(plugin, "utf8");
  const file = join(scene.folder, "effects", `${eventId}.test.ts`);
  const calls = scene.ledger.calls.length;
  const { code, stderr } = await debug(scene, [eventId, "--to-test", file]);
  if (code !== 0) return [`expected a test to be written, debug ended with ${code}: ${stderr}`];
  try {
    const wrong = passes(file) ? ["its test passes while the mistake is there"] : [];
    writeFileSync(plugin, source.replace(mistake, mended));
    if (!passes(file)) wrong.push("its test does not pass once the skill is mended");
    if (scene.ledger.calls.length !== calls) wrong.push("its test asked the dependency");
    return wrong;
  } finally {
    writeFileSync(plugin, source);
  }
}
