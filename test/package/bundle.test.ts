// What is built are chunks and entries: a module that is named by its place, not imported, is there only as an entry.
import { strict as assert } from "node:assert";
import { existsSync, globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { readDocument, root } from "../support/markdown.ts";

const { entries } = (await import(pathToFileURL(join(root, ".ci/bundle.mjs")).href)) as { readonly entries: readonly string[] };
const { bin, exports } = JSON.parse(readDocument("package.json")) as {
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
};
const { entry: unreferenced } = JSON.parse(readDocument("knip.json")) as { readonly entry: readonly string[] };

test("all that nobody imports is an entry of the bundle: what the package exports, and what knip is told is started by its place", () => {
  const targets = [...Object.values(bin), ...Object.values(exports).flatMap((target) => (typeof target === "string" ? [] : [target.default]))];
  const modules = targets.map((path) => path.replace("./dist/", "").replace("dist/", "").replace(/\.js$/, ""));
  const patterns = unreferenced.map((pattern) => pattern.replace("!", "")).filter((pattern) => /^(?:runtime|load)\//.test(pattern));
  const started = globSync(patterns, { cwd: root, exclude: ["runtime/admin/page/**"] }).map((file) => file.replace(/\.ts$/, ""));
  assert.ok(started.length > 10, "expected knip.json to name what is started by its place");
  assert.deepEqual(
    [...modules, ...started].filter((module) => !entries.includes(module)),
    [],
    "expected each in `entries` of .ci/bundle.mjs",
  );
  assert.deepEqual(
    entries.filter((module) => !existsSync(join(root, `${module}.ts`))),
    [],
  );
});
