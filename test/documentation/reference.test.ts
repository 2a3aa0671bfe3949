// What the package exports says what it is: the reference is made of these docstrings.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { longTest } from "../support/long.ts";
import { readDocument, root } from "../support/markdown.ts";

const { exports } = JSON.parse(readDocument("package.json")) as { readonly exports: Readonly<Record<string, string | { readonly types: string }>> };
/** Source of each entry point by the name that it is imported by. */
const entryPoints = new Map(
  Object.entries(exports).flatMap(([name, target]) =>
    typeof target === "string" ? [] : [[name.replace(/^\./, "holdfast"), target.types.replace("./dist/", "").replace(/\.d\.ts$/, ".ts")] as const],
  ),
);

/** What a module exports of others: where each name is declared. */
function exportsOf(file: string): readonly (readonly [name: string, declaredIn: string])[] {
  return [...readDocument(file).matchAll(/^export (?:type )?\{([^}]*)\} from "([^"]+)";/gm)].flatMap(([, names = "", from = ""]) =>
    names
      .split(",")
      .map((name) => name.replace(/^\s*(?:type )?/, "").trim())
      .filter((name) => name !== "")
      .map((name) => [name, join(dirname(file), from)] as const),
  );
}

/** Whether a comment for readers stands right above its declaration, or above the first of several. */
function isDescribed(name: string, file: string): boolean {
  const declaration = new RegExp(`^export (?:abstract )?(?:interface|type|class|const|function|async function) ${name}\\b`, "m");
  const text = readFileSync(join(root, file), "utf8");
  const at = text.search(declaration);
  assert.ok(at >= 0, `expected ${file} to declare ${name}`);
  return text.slice(0, at).trimEnd().endsWith("*/");
}

test("every export of every entry point has a docstring", () => {
  const silent: string[] = [];
  let count = 0;
  for (const [name, file] of entryPoints) {
    assert.match(readDocument(file), new RegExp(`^/\\*\\*\\n(?: \\*.*\\n)+? \\* @module ${name}\\n`), `${file} says what is in it`);
    for (const [exported, declaredIn] of exportsOf(file)) {
      count += 1;
      if (!isDescribed(exported, declaredIn)) silent.push(`${name}: ${exported} of ${declaredIn}`);
    }
  }
  assert.deepEqual(silent, []);
  assert.ok(count > 100, `expected more than 100 exports, found ${count}`);
});

test("the reference is made of every entry point, by versions that a lock file holds without addresses", () => {
  const { entryPoints: listed } = JSON.parse(readDocument(".ci/reference/typedoc.json")) as { readonly entryPoints: readonly string[] };
  assert.deepEqual(listed.map((path) => join(".ci/reference", path)).toSorted(), [...entryPoints.values()].toSorted());
  const { packages } = JSON.parse(readDocument(".ci/reference/package-lock.json")) as {
    readonly packages: Readonly<Record<string, { readonly integrity?: string; readonly resolved?: string; readonly hasInstallScript?: boolean }>>;
  };
  for (const [folder, { integrity, resolved, hasInstallScript }] of Object.entries(packages).filter(([name]) => name !== "")) {
    assert.match(integrity ?? "", /^sha512-/, folder);
    assert.deepEqual([resolved, hasInstallScript], [undefined, undefined], folder);
  }
});

longTest("npm run reference writes a page for each export, and nothing in it leads nowhere", async (t) => {
  const { status, stderr, stdout } = spawnSync("npm", ["run", "--silent", "reference"], { cwd: root, encoding: "utf8" });
  const unreachable = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT|ENOTCACHED/.exec(stderr)?.[0];
  if (unreachable !== undefined) return t.skip(`npm's registry is not to be reached from here (${unreachable})`);
  assert.equal(status, 0, `${stdout}${stderr}`);
  for (const page of ["functions/holdfast.defineSkill.html", "variables/holdfast_testing.testSkill.html", "functions/holdfast_broker.startBroker.html"])
    assert.ok(existsSync(join(root, "dist/reference", page)), page);
});
