// When a file that somebody writes is read.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type FileNews, WatchedFile } from "#runtime/adapters/support/watched-file.ts";

interface Watched {
  readonly heard: FileNews[];
  readonly write: (text: string) => void;
  /** Lets time pass, and what is begun then come to its end. */
  readonly pass: (ms: number) => Promise<void>;
}

async function watch(t: TestContext): Promise<Watched> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-watched-"));
  const file = join(folder, "settings");
  writeFileSync(file, "first");
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const heard: FileNews[] = [];
  const watched = new WatchedFile(file, (news) => heard.push(news));
  t.after(() => {
    watched.stop();
    rmSync(folder, { recursive: true });
  });
  const pass = async (ms: number): Promise<void> => {
    t.mock.timers.tick(ms);
    // What it has asked of the file system is answered before what is asked after it.
    for (let turn = 0; turn < 8; turn += 1) await stat(file);
  };
  watched.start();
  await pass(0);
  return { heard, write: (text) => writeFileSync(file, text), pass };
}

test("a file that is being written is read once it is whole", async (t) => {
  const { heard, write, pass } = await watch(t);
  write("isPaused:");
  await pass(250);
  write("isPaused: true");
  await pass(50);
  assert.deepEqual(heard, []);
  await pass(50);
  assert.deepEqual(heard, [{ text: "isPaused: true" }]);
});

test("a file that never stops changing is read all the same, within a second and a half", async (t) => {
  const { heard, write, pass } = await watch(t);
  write("0");
  await pass(250);
  for (let passedMs = 250; passedMs < 1_500 && heard.length === 0; passedMs += 50) {
    write("x".repeat(passedMs));
    await pass(50);
  }
  assert.equal(heard.length, 1);
});
