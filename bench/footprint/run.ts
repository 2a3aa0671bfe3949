import { type ChildProcess, fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { TransportKind } from "#runtime/core/config.ts";
import { startBenchBroker } from "../support/broker.ts";
import { type Figure, figure } from "../support/figures.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { interleave } from "../support/rounds.ts";
import { storeName, workerConfig } from "../support/worker-config.ts";

export interface FootprintOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
  readonly transport: TransportKind;
}

const root = resolve(import.meta.dirname, "../..");
const queue = "bench";
/** By then everything that is loaded after the start is there. */
const idleMs = 5_000;
const threadCounts = { few: 1, many: 3 };
const mib = 1024;

interface Sample {
  readonly readyMs: number;
  readonly residentMb: number;
  readonly proportionalMb: number;
}

export async function run(options: FootprintOptions): Promise<number> {
  const { quick = false, rounds = quick ? 1 : 5, transport } = options;
  const report = new Report("footprint", options);
  build();
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
  const broker = await startBenchBroker([queue]);
  try {
    const place = { connectionString: broker.connectionString, queue, folder, plugin: writePlugin(folder) };
    const contenders = Object.values(threadCounts).map((threads) => ({ name: String(threads), threads }));
    const samples = await interleave(contenders, rounds, ({ threads }) => {
      const file = join(folder, "holdfast.config.json");
      writeFileSync(file, JSON.stringify({ ...workerConfig({ ...place, threads }), transport }));
      return measure(file);
    });
    tell(report, rounds, transport, samples);
  } finally {
    await broker.peer.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  return report.end();
}

function build(): void {
  const { status } = spawnSync(process.execPath, [join(root, ".ci/build.mjs")], { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error("expected the project to build, see above");
}

/** Outside of the project, as an author would have it: it gets the runtime by its name. */
function writePlugin(folder: string): string {
  const place = join(folder, "no-op");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "no-op", version: "1.0.0", entry: "./index.mjs", skills: ["no-op"], dependencies: [] }),
  );
  writeFileSync(
    join(place, "index.mjs"),
    `import { definePlugin, defineSkill } from "holdfast";
const noOp = defineSkill({ name: "no-op", handles: [{ eventType: "Nothing", versions: "1.x" }], run: () => undefined });
export default definePlugin({ skills: [noOp] });
`,
  );
  return place;
}

async function measure(configFile: string): Promise<Sample> {
  const startedMs = performance.now();
  const worker = fork(join(root, "dist/runtime/cli/main.js"), ["start", "--config", configFile], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const gone = once(worker, "exit");
  try {
    await ready(worker);
    const readyMs = performance.now() - startedMs;
    await pause(idleMs);
    return { readyMs, ...memoryOf(worker.pid ?? 0) };
  } finally {
    worker.kill("SIGTERM");
    await gone;
  }
}

function ready(worker: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.on("message", ({ type }: { readonly type?: unknown }) => {
      if (type === "ready") resolve();
    });
    worker.once("exit", (code, signal) => reject(new Error(`expected the worker to start, it ended with ${code ?? signal}; see its output above`)));
  });
}

function memoryOf(pid: number): Pick<Sample, "residentMb" | "proportionalMb"> {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN) / mib;
  return { residentMb: field("Rss"), proportionalMb: field("Pss") };
}

function tell(report: Report, rounds: number, transport: TransportKind, samples: ReadonlyMap<string, readonly Sample[]>): void {
  const of = (threads: number): readonly Sample[] => samples.get(String(threads)) ?? [];
  const few = of(threadCounts.few);
  const many = of(threadCounts.many);
  const further = figure(many, ({ residentMb }) => residentMb, 0).samples.map(
    (residentMb, round) => (residentMb - (few[round]?.residentMb ?? Number.NaN)) / (threadCounts.many - threadCounts.few),
  );
  const resident = (list: readonly Sample[]): Figure => figure(list, ({ residentMb }) => residentMb, 0);
  const readyIn = (list: readonly Sample[]): Figure => figure(list, ({ readyMs }) => readyMs, 0);
  report.table({
    name: "workers",
    title: `An idle worker, transport ${transport}, run store ${storeName()}; median (range) of ${rounds} starts`,
    columns: { threads: "threads", resident: "resident, MB", proportional: "proportional, MB", ready: "ready after, ms" },
    rows: [few, many].map((list, index) => ({
      threads: Object.values(threadCounts)[index],
      resident: resident(list),
      proportional: figure(list, ({ proportionalMb }) => proportionalMb, 0),
      ready: readyIn(list),
    })),
  });
  report.targets(
    { what: "resident with one thread", found: resident(few), unit: "MB", bound: { atMost: 120 } },
    { what: "each further thread", found: { samples: further, digits: 1 }, unit: "MB", bound: { atMost: 25 } },
    { what: "ready with one thread", found: readyIn(few), unit: "ms", bound: { atMost: 500 } },
  );
}
