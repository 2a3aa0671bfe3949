// `npm run mutation` takes minutes; this holds its configuration to what is there.
import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";

const root = resolve(import.meta.dirname, "../..");

interface MutationConfig {
  readonly mutate: readonly string[];
  readonly ignorePatterns: readonly string[];
  readonly tap: { readonly testFiles: readonly string[] };
  readonly thresholds: { readonly break: number };
}

const config = JSON.parse(readFileSync(resolve(root, "stryker.config.json"), "utf8")) as MutationConfig;

const filesOf = (patterns: readonly string[]): string[] => patterns.flatMap((pattern) => globSync(pattern, { cwd: root }));

test("the mutation run looks at every policy, with tests that are there and that it takes along", () => {
  for (const pattern of [...config.mutate, ...config.tap.testFiles]) assert.ok(filesOf([pattern]).length > 0, `expected files for ${pattern}, found none`);
  const policies = globSync("runtime/policy/**/*.ts", { cwd: root }).sort();
  assert.deepEqual(filesOf(config.mutate).sort(), policies);
  const taken = config.ignorePatterns.filter((pattern) => pattern.startsWith("!")).map((pattern) => pattern.slice(1));
  const copied = new Set(filesOf(taken));
  for (const file of filesOf(config.tap.testFiles)) {
    assert.ok(copied.has(file), `expected ${file} to be taken along`);
    for (const [, support = ""] of readFileSync(resolve(root, file), "utf8").matchAll(/from ["]#?(?:\.\.\/)*((?:runtime|test|load|bench)\/[^"]+)"/g)) {
      assert.ok(copied.has(support), `expected ${support}, which ${file} imports, to be taken along`);
    }
  }
  assert.equal(config.thresholds.break, 90);
});

test("a policy that is exempt from a mutation says why", () => {
  for (const file of globSync("runtime/policy/**/*.ts", { cwd: root })) {
    for (const [line] of readFileSync(resolve(root, file), "utf8").matchAll(/\/\/ Stryker .*/g)) {
      assert.match(line, /^\/\/ Stryker disable next-line [\w, ]+: .{20,}/, `${file}: ${line}`);
    }
  }
});
