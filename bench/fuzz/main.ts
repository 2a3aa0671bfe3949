// `npm run fuzz -- amqp [--seconds 60] [--seed N] [--case K]`: feeds hostile input to a target until the time is over or
// something is wrong: a crash, a hang, an answer that is not what it should be, memory that grows. A failure prints the
// seed and the case, which run again on their own with `--seed N --case K`.
import { once } from "node:events";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { targets } from "./target.ts";
import type { WorkerOrder, WorkerReport } from "./worker.ts";

const caseMsMax = 5_000;
const watchEveryMs = 500;
const heldBytesMax = 64 * 1_048_576;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "60" }, seed: { type: "string" }, case: { type: "string" } },
});
const name = positionals[0] ?? "";
if (!(name in targets)) {
  console.error(`fuzz: expected a target, one of ${Object.keys(targets).join(", ")}; got ${JSON.stringify(name)}`);
  process.exit(2);
}
const seed = values.seed === undefined ? Math.floor(Math.random() * 0x1_0000_0000) : Number(values.seed);
const only = values.case === undefined ? undefined : Number(values.case);

const progress = new SharedArrayBuffer(4);
const current = new Int32Array(progress);
const order: WorkerOrder = {
  target: name,
  seed,
  firstCase: only ?? 0,
  casesMax: only === undefined ? Number.MAX_SAFE_INTEGER : 1,
  milliseconds: Number(values.seconds) * 1_000,
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
  process.exit(1);
}

const [report] = (await once(worker, "message")) as [WorkerReport];
clearInterval(watch);
if (report.kind === "failed") fail(report.case, report.error);
await worker.terminate();
console.log(`fuzz ${name}: ${report.cases} cases, nothing wrong; ${report.heldBytes} bytes held beyond the start`);
for (const [what, count] of [...report.reached].sort((a, b) => b[1] - a[1])) console.log(`  ${((count / report.cases) * 100).toFixed(1).padStart(5)} % ${what}`);
for (const [outcome, count] of [...report.outcomes].sort((a, b) => b[1] - a[1])) console.log(`  ${String(count).padStart(8)} ${outcome}`);
