// Runs cases in a thread of its own, so that one that never ends can be told from one that takes its time.
import { parentPort, workerData } from "node:worker_threads";
import { inspect } from "node:util";
import v8 from "node:v8";
import vm from "node:vm";
import { targets } from "./targets.ts";

export interface WorkerOrder {
  readonly target: string;
  readonly seed: number;
  readonly firstCase: number;
  readonly casesMax: number;
  readonly milliseconds: number;
  /** Holds the case that is running. */
  readonly progress: SharedArrayBuffer;
  /** Bytes that may be held after a collection beyond what was held at first. */
  readonly heldBytesMax: number;
}

export type WorkerReport =
  | {
      readonly kind: "done";
      readonly cases: number;
      readonly outcomes: ReadonlyMap<string, number>;
      readonly reached: ReadonlyMap<string, number>;
      readonly heldBytes: number;
    }
  | { readonly kind: "failed"; readonly case: number; readonly error: string };

const order = workerData as WorkerOrder;
const progress = new Int32Array(order.progress);
const memoryCheckCases = 2_000;

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;

function heldBytes(): number {
  collect();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

/** A case's seed: neighbouring cases have nothing in common. */
function caseSeed(index: number): number {
  return Math.imul(order.seed ^ Math.imul(index + 1, 0x85eb_ca6b), 0xc2b2_ae35) >>> 0;
}

async function run(): Promise<WorkerReport> {
  const target = await targets.get(order.target)!();
  const outcomes = new Map<string, number>();
  const reached = new Map<string, number>();
  const endsAt = performance.now() + order.milliseconds;
  let baseBytes = 0;
  let bytes = 0;
  let index = order.firstCase;
  for (; index < order.firstCase + order.casesMax && performance.now() < endsAt; index++) {
    Atomics.store(progress, 0, index);
    try {
      const report = await target.runCase(caseSeed(index));
      outcomes.set(report.outcome, (outcomes.get(report.outcome) ?? 0) + 1);
      for (const what of report.reached ?? []) reached.set(what, (reached.get(what) ?? 0) + 1);
      if (index % memoryCheckCases === memoryCheckCases - 1) {
        bytes = heldBytes();
        baseBytes ||= bytes;
        if (bytes - baseBytes > order.heldBytesMax)
          throw new Error(`memory: expected at most ${order.heldBytesMax} bytes held beyond the first ${baseBytes}, found ${bytes - baseBytes}`);
      }
    } catch (error) {
      return { kind: "failed", case: index, error: inspect(error) };
    }
  }
  return { kind: "done", cases: index - order.firstCase, outcomes, reached, heldBytes: Math.max(0, bytes - baseBytes) };
}

process.on("uncaughtException", (error) => {
  parentPort?.postMessage({ kind: "failed", case: Atomics.load(progress, 0), error: `uncaught: ${inspect(error)}` } satisfies WorkerReport);
});

const report = await run();
parentPort?.postMessage(report);
