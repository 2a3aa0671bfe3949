// A file that a command makes is there whole or not at all.
import { strict as assert } from "node:assert";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { writeNewFile } from "../../runtime/cli/new-file.ts";

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-new-file-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("a file has its name only once all of it is written, and nothing is left of one that could not be", async (t) => {
  const folder = folderOf(t);
  const path = join(folder, "letters.jsonl");
  const failing = writeNewFile("--out", path, async (file) => {
    await file.appendFile("one\n");
    assert.equal(existsSync(path), false);
    assert.match(readdirSync(folder).join(), /^letters\.jsonl\.\w{8}\.partial$/);
    throw new Error("the broker went away");
  });
  await assert.rejects(failing, /the broker went away/);
  assert.deepEqual(readdirSync(folder), []);
  await writeNewFile("--out", path, (file) => file.appendFile("one\ntwo\n"));
  assert.deepEqual([readdirSync(folder), readFileSync(path, "utf8")], [["letters.jsonl"], "one\ntwo\n"]);
});

test("a file that is there, or comes meanwhile, stays as it is", async (t) => {
  const folder = folderOf(t);
  const path = join(folder, "letters.jsonl");
  const late = writeNewFile("--out", path, async (file) => {
    await file.appendFile("mine\n");
    writeFileSync(path, "theirs\n");
  });
  await assert.rejects(late, /--out: expected a file that can be made, found.*EEXIST.*name another/);
  await assert.rejects(
    writeNewFile("--out", path, () => assert.fail("it was begun")),
    /found that '.*letters\.jsonl' exists; name another/,
  );
  assert.deepEqual([readdirSync(folder), readFileSync(path, "utf8")], [["letters.jsonl"], "theirs\n"]);
});
