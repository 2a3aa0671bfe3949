// A file of tests that never closes ends the run of all tests, with a word, instead of holding it up for ever.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

const limit = pathToFileURL(join(import.meta.dirname, "support/file-limit.ts")).href;

test("a file that stays open after its tests is ended, fails, and is named", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-limit-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "open.test.ts");
  writeFileSync(file, `import { test } from "node:test";\ntest("leaves a timer", () => void setInterval(() => undefined, 1_000));\n`);
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
  const child = spawn(process.execPath, [`--import=${limit}`, "--test", "--test-reporter=spec", file], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...env, HOLDFAST_TEST_FILE_MAX_MS: "1500" },
  });
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  assert.equal(code, 1, said);
  assert.match(said, /open\.test\.ts: expected this file of tests to end within 1\.5 s/);
});
