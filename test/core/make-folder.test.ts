// Where a folder cannot be made, whoever asked for it is told so at once: Node's own way with all that is above never returns below /proc.
import { strict as assert } from "node:assert";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { openDatabase } from "#runtime/adapters/sqlite/database.ts";
import { storeMemoryIn } from "#runtime/adapters/system/store-memory.ts";
import { startHeartbeat } from "#runtime/cli/heartbeat.ts";
import { makeFolder } from "#runtime/core/make-folder.ts";
import { makeOutFolder } from "../../bench/support/out-folder.ts";

const nowhere = "/proc/holdfast/none";
const isLinux = process.platform === "linux";

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("a folder is made with those above it, once, and not where a file is in its place", (t) => {
  const folder = folderOf(t);
  const place = join(folder, "a/b/c");
  assert.deepEqual([makeFolder(place), existsSync(place), makeFolder(place), makeFolder(join(folder, "a/b/d"))], [true, true, false, true]);
  writeFileSync(join(folder, "file"), "");
  assert.throws(() => makeFolder(join(folder, "file")), { code: "EEXIST" });
  assert.throws(() => makeFolder(join(folder, "file/below")), { code: "ENOTDIR" });
});

test("below a folder in which none can be made, each place says so at once", { skip: !isLinux }, () => {
  assert.throws(() => makeFolder(nowhere), { code: "ENOENT" });
  assert.throws(() => openDatabase(`${nowhere}/runs.db`, "orders"), {
    code: "HOLDFAST_CONFIGURATION",
    message:
      /^expected to create or open \/proc\/holdfast\/none\/runs\.db for writing, found: ENOENT.+; look at its folder's permissions or name another file$/,
  });
  assert.throws(() => makeOutFolder("--out", nowhere), {
    code: "HOLDFAST_CONFIGURATION",
    message: /^--out: expected a folder that can be written to at \/proc\/holdfast\/none, found ENOENT.+; name another one$/,
  });
  const said: string[] = [];
  startHeartbeat(
    `${nowhere}/beat`,
    () => ({}),
    (text) => said.push(text),
  ).stop();
  assert.match(said.join("\n"), /^HOLDFAST_HEARTBEAT: expected to write \/proc\/holdfast\/none\/beat, found ENOENT.+; name a file in a folder [^\n]+$/);
  const memory = storeMemoryIn(`${nowhere}/marks.json`, "store");
  memory.keep("mark");
  assert.equal(memory.recall(), undefined);
});
