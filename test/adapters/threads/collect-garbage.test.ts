import { strict as assert } from "node:assert";
import { once } from "node:events";
import { resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";

const module = pathToFileURL(resolve(import.meta.dirname, "../../../runtime/adapters/threads/collect-garbage.ts")).href;

test("threads that collect at the same moment, each for the first time, all find how", async () => {
  const threads = 6;
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const code = `import { parentPort, workerData } from "node:worker_threads";
const { collectGarbage } = await import(${JSON.stringify(module)});
parentPort.postMessage("here");
Atomics.wait(workerData, 0, 0);
collectGarbage("everything");
collectGarbage("unused");
parentPort.postMessage("done");`;
  const workers = Array.from({ length: threads }, () => new Worker(code, { eval: true, workerData: gate }));
  const errors: unknown[] = [];
  for (const worker of workers) worker.on("error", (error) => errors.push(error));
  try {
    await Promise.all(workers.map((worker) => once(worker, "message")));
    const done = Promise.all(workers.map((worker) => once(worker, "exit")));
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    await done;
    assert.deepEqual(errors, []);
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
});
