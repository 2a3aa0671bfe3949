// `npm run fuzz -- TARGET`: feeds hostile input to a target until the time is over or something is wrong: a crash, a hang, an
// answer that is not what it should be, memory that grows. A failure prints the seed and the case, which run again on their
// own with `--seed N --case K`.
import "#runtime/cli/require-node.ts";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { Argument, Command } from "commander";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { atLeast, helpWidth } from "../support/command.ts";
import { targets } from "./targets.ts";
import type { WorkerOrder, WorkerReport } from "./worker.ts";

const caseMsMax = 5_000;
const watchEveryMs = 500;
const heldBytesMax = 64 * 1_048_576;

interface FuzzOptions {
  readonly seconds: number;
  readonly seed?: number;
  readonly case?: number;
}

const program = new Command("npm run fuzz --")
  .usage("TARGET [options]")
  .description("Feeds hostile input to a target until the time is over or something is wrong.")
  .addArgument(new Argument("<target>", "what is fuzzed").choices([...targets.keys()]))
  .option("--seconds <n>", "how long", atLeast(1), 60)
  .option("--seed <n>", "seed of the cases (default: chance)", atLeast(0))
  .option("--case <n>", "this case of the seed alone", atLeast(0))
  .configureHelp({ helpWidth })
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? exitCodes.good : exitCodes.usage))
  .parse();
const name = program.args[0]!;
const { seconds, seed = Math.floor(Math.random() * 0x1_0000_0000), case: only } = program.opts<FuzzOptions>();

const progress = new SharedArrayBuffer(4);
const current = new Int32Array(progress);
const order: WorkerOrder = {
  target: name,
  seed,
  firstCase: only ?? 0,
  casesMax: only === undefined ? Number.MAX_SAFE_INTEGER : 1,
  milliseconds: seconds * 1_000,
  progress,
  heldBytesMax,
};
console.log(`fuzz ${name}: seed ${seed}`);
const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: order });

let watched = -1;
let watchedSince = performance.now();
const watch = setInterval(() => {
  const index = Atomics.load(current, 0);
  if (index !== watched) {
    watched = index;
    watchedSince = performance.now();
  } else if (performance.now() - watchedSince > caseMsMax) fail(index, `hang: expected a case to end within ${caseMsMax} ms`);
}, watchEveryMs);

function fail(index: number, error: string): never {
  console.error(`fuzz ${name}: case ${index} of seed ${seed} is wrong; run it alone with: npm run fuzz -- ${name} --seed ${seed} --case ${index}\n${error}`);
  process.exit(exitCodes.failed);
}

const [report] = (await once(worker, "message")) as [WorkerReport];
clearInterval(watch);
if (report.kind === "failed") fail(report.case, report.error);
await worker.terminate();
console.log(`fuzz ${name}: ${report.cases} cases, nothing wrong; ${report.heldBytes} bytes held beyond the start`);
for (const [what, count] of [...report.reached].sort((a, b) => b[1] - a[1]))
  console.log(`  ${((count / report.cases) * 100).toFixed(1).padStart(5)} % ${what}`);
for (const [outcome, count] of [...report.outcomes].sort((a, b) => b[1] - a[1])) console.log(`  ${String(count).padStart(8)} ${outcome}`);
