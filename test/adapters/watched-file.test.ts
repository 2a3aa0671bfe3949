// When a file that somebody writes is read.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type FileNews, WatchedFile } from "#runtime/adapters/support/watched-file.ts";
import { within } from "../support/eventually.ts";

interface Watched {
  readonly heard: FileNews[];
  readonly write: (text: string) => void;
  /** Lets time pass, and each look that is begun then come to its end, which is when the next one is set. */
  readonly pass: (ms: number) => Promise<void>;
}

async function watch(t: TestContext): Promise<Watched> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-watched-"));
  const file = join(folder, "settings");
  writeFileSync(file, "first");
  let nowMs = 0;
  let next: { readonly atMs: number; readonly look: () => void } | undefined;
  let { promise: isSet, resolve } = Promise.withResolvers<void>();
  t.mock.method(globalThis, "setTimeout", (look: () => void, delayMs: number) => {
    next = { atMs: nowMs + delayMs, look };
    resolve();
  });
  const heard: FileNews[] = [];
  const watched = new WatchedFile(file, (news) => heard.push(news));
  t.after(() => {
    watched.stop();
    rmSync(folder, { recursive: true });
  });
  const lookedBy = async (look: () => void): Promise<void> => {
    ({ promise: isSet, resolve } = Promise.withResolvers<void>());
    next = undefined;
    look();
    await within("the file to be looked at", isSet);
  };
  const pass = async (ms: number): Promise<void> => {
    const untilMs = nowMs + ms;
    for (;;) {
      const { atMs = Number.POSITIVE_INFINITY, look = assert.fail } = next ?? {};
      nowMs = Math.min(atMs, untilMs);
      if (atMs > untilMs) return;
      await lookedBy(look);
    }
  };
  await lookedBy(() => watched.start());
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
