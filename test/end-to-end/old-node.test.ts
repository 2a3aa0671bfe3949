// Too old a Node is reported in one line, by each entry point; on real old Nodes where the machine has one, and on made-up versions.
import { strict as assert } from "node:assert";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { tooOldNode } from "#runtime/core/node-version.ts";

const root = resolve(import.meta.dirname, "../..");
const ofTests = ["test/run.ts", ...["azure", "deploy", "foreign", "image"].map((kind) => `test/${kind}/run.ts`)];
const entryPoints = ["runtime/cli/main.ts", "load/broker/main.ts", "bench/main.ts", "bench/drills/main.ts", "bench/fuzz/main.ts", ...ofTests];

/** Has Node say that it is another version. */
function pretending(version: string): string {
  const code = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } })`;
  return `--import=data:text/javascript;base64,${Buffer.from(code).toString("base64")}`;
}

function run(node: string, args: readonly string[]): { code: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(node, args, { cwd: root, encoding: "utf8" });
  return { code: status, said: `${stdout}${stderr}` };
}

/** A Node on this machine that is too old, with its version. */
function findOldNode(): { readonly path: string; readonly version: string } | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, "node");
    if (!existsSync(path)) continue;
    const version = execFileSync(path, ["--version"], { encoding: "utf8" }).trim().slice(1);
    if (tooOldNode(version) !== undefined) return { path, version };
  }
  return undefined;
}

test("minor versions count", () => {
  for (const version of ["18.20.4", "20.20.2", "22.21.1", "23.11.0", "24.0.0", "24.11.1"])
    assert.match(tooOldNode(version) ?? "", new RegExp(`^expected Node 24\\.12 or later, found ${version}; install a newer Node$`));
  for (const version of ["24.12.0", "24.21.0", "25.0.0", "26.1.0-nightly"]) assert.equal(tooOldNode(version), undefined);
});

test("what the code wants is what the package asks for", () => {
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { engines: { node: string } };
  assert.equal(engines.node, ">=24.12");
});

for (const entryPoint of entryPoints) {
  test(`${entryPoint} says in one line that Node is too old, and ends with 2`, () => {
    const { code, said } = run(process.execPath, [pretending("24.11.1"), entryPoint]);
    assert.deepEqual({ code, said }, { code: 2, said: "holdfast: expected Node 24.12 or later, found 24.11.1; install a newer Node\n" });
  });
}

test("in a log of JSON it is a line of that log", () => {
  const { code, said } = run(process.execPath, [pretending("24.11.1"), "runtime/cli/main.ts", "start"]);
  const { level, exitCode, msg } = JSON.parse(said) as { readonly level: string; readonly exitCode: number; readonly msg: string };
  assert.deepEqual([code, level, exitCode, msg], [2, "fatal", 2, "expected Node 24.12 or later, found 24.11.1; install a newer Node"]);
});

test("importing the package on too old a Node fails with a line that says so", () => {
  const code = `import(${JSON.stringify(pathToFileURL(join(root, "runtime/index.ts")).href)}).catch((error) => console.log(error.stack))`;
  const { said } = run(process.execPath, [pretending("24.11.1"), "--input-type=module", "--eval", code]);
  assert.equal(said, "holdfast: expected Node 24.12 or later, found 24.11.1; install a newer Node\n");
});

test("a real old Node hears it from the command and from the package as they are installed", (t) => {
  const old = findOldNode();
  if (old === undefined) return t.skip("no Node below 24.12 is on PATH");
  const folder = mkdtempSync(join(tmpdir(), "holdfast-old-node-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const file of globSync("runtime/**/*.ts", { cwd: root })) {
    const target = join(folder, file.replace(/ts$/, "js"));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, stripTypeScriptTypes(readFileSync(join(root, file), "utf8")).replaceAll(/\.ts"/g, '.js"'));
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const line = `holdfast: expected Node 24.12 or later, found ${old.version}; install a newer Node\n`;
  assert.deepEqual(run(old.path, [join(folder, "runtime/cli/main.js"), "start", "--log", "pretty"]), { code: 2, said: line });
  const code = `import(${JSON.stringify(pathToFileURL(join(folder, "runtime/index.js")).href)}).catch((error) => console.log(error.stack))`;
  assert.equal(run(old.path, ["--input-type=module", "--eval", code]).said, line);
});
