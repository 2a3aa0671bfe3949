import { strict as assert } from "node:assert";
import { test } from "node:test";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { counted } from "#runtime/core/counted.ts";

test("one thing is one, and others are several", () => {
  assert.deepEqual([counted(0, "letter"), counted(1, "letter"), counted(2, "letter")], ["0 letters", "1 letter", "2 letters"]);
  assert.equal(counted(2, "step is", "steps are"), "2 steps are");
});

/** A number before what is always several; limits that are named so are above one. */
const bare = /\$\{(?!counted\()[^}]*\} (?:dead letters|parked runs|letters|steps|runs|records|messages|disagreements|times|events emitted|bytes that)\b/;

test("commands count in no other way", () => {
  const root = resolve(import.meta.dirname, "../..");
  const files = globSync(["runtime/cli/*.ts", "runtime/recovery/runs-*.ts", "runtime/recovery/reconcile.ts"], { cwd: root });
  assert.ok(files.length > 40);
  const found = files.flatMap((file) => {
    const lines = readFileSync(join(root, file), "utf8").split("\n");
    return lines.flatMap((line, index) => (bare.test(line) && !/Max\}/.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : []));
  });
  assert.deepEqual(found, []);
});
