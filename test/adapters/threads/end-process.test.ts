// The end of a process that has threads, and what it had to say before.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { within } from "../../support/eventually.ts";

const root = resolve(import.meta.dirname, "../../..");

/** Logs a line, and ends while a thread lives; the only thread of Node's own that writes is busy until after the end was asked for. */
const program = (format: string): string => `
import { pbkdf2 } from "node:crypto";
import { Worker } from "node:worker_threads";
import { createLogger } from "${root}/runtime/adapters/telemetry/log.ts";
import { beforeEnd, endProcess, watchLiving } from "${root}/runtime/adapters/threads/end-process.ts";
const worker = new Worker("setInterval(() => undefined, 1000)", { eval: true });
watchLiving(worker);
worker.once("online", () => {
  const logger = createLogger({ level: "info", format: "${format}", worker: "w", host: "h" });
  beforeEnd(() => new Promise((done) => logger.flush(() => done())));
  pbkdf2("a", "b", 40_000, 64, "sha512", () => undefined);
  logger.warn("the last words");
  void endProcess(7);
  void endProcess(0);
});`;

for (const format of ["json", "pretty"]) {
  test(`what was logged last is written before the process ends, and the first code holds (${format})`, async () => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program(format)], {
      stdio: ["ignore", "inherit", "pipe"],
      env: { ...process.env, UV_THREADPOOL_SIZE: "1" },
    });
    const [said, [code]] = await within("the end", Promise.all([text(child.stderr), once(child, "exit")]), 20_000);
    assert.match(said, /the last words/);
    assert.equal(code, 7);
  });
}

test("a log that nobody reads does not keep the process", async () => {
  const source = `
import { beforeEnd, endProcess } from "${root}/runtime/adapters/threads/end-process.ts";
beforeEnd(() => new Promise(() => setInterval(() => undefined, 1000)));
void endProcess(3);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], { stdio: "inherit" });
  assert.deepEqual(await within("the end", once(child, "exit"), 20_000), [3, null]);
});
