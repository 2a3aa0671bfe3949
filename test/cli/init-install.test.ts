import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { init } from "#runtime/cli/init.ts";
import { readExample } from "#runtime/cli/send-example.ts";
import { ownVersion } from "#runtime/adapters/system/version.ts";

const project = join(import.meta.dirname, "../..");
const version = ownVersion();

test("init says how npm ended, that the project is made, and what to do", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-init-"));
  const path = process.env["PATH"];
  t.after(() => {
    process.env["PATH"] = path;
    rmSync(folder, { recursive: true });
  });
  const bin = join(folder, "bin");
  mkdirSync(bin);
  process.env["PATH"] = bin;
  const made = (name: string): string => join(folder, name);
  assert.throws(() => init(made("one"), { test: "node", install: true }), {
    code: "INSTALL_FAILED",
    message: `expected to run 'npm pack' in ${project}, found: spawnSync npm ENOENT; the project itself is made: check that npm is on the PATH, then run 'npm pack --pack-destination ${made("one")}' there, and 'npm install' in ${made("one")}`,
  });
  // A package of the clone is made, and cannot be installed.
  writeFileSync(join(bin, "npm"), '#!/bin/sh\n[ "$1" = pack ]&& exit 0\nexit 3\n', { mode: 0o755 });
  assert.throws(() => init(made("two"), { test: "node", install: true }), {
    code: "INSTALL_FAILED",
    message: `expected 'npm install' to succeed in ${made("two")}, it ended with code 3; the project itself is made: mend what npm names above, then run 'npm install' there`,
  });
  const range = JSON.parse(readFileSync(join(made("two"), "package.json"), "utf8")) as { readonly dependencies: Readonly<Record<string, string>> };
  assert.equal(range.dependencies["holdfast"], `file:holdfast-${version}.tgz`);
});

test("init refuses a place that cannot be, and names that would not do, in a line", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-init-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "file"), "");
  const refused = (place: string, message: RegExp): void =>
    assert.throws(() => init(place, { test: "node", install: false }), { name: "ConfigurationError", message });
  for (const [place, found] of [
    ["file", "EEXIST"],
    ["file/shop", "ENOTDIR"],
  ] as const)
    refused(
      join(folder, place),
      new RegExp(`^expected a folder that can be written to at ${join(folder, place)}, found ${found}: .*; choose another place, or mend that$`),
    );
  refused("", /^init: expected words of a-z 0-9 joined by '-', .*, got ""$/);
  refused(join(folder, "holdfast"), /^init: expected a name that no package of the project has, got 'holdfast'; choose another$/);
});

test("an example that is asked for where there are none is told so, with what to do", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-example-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const config = join(folder, "holdfast.config.json");
  writeFileSync(
    config,
    JSON.stringify({ sources: [{ queue: "q" }], serviceBus: { connectionString: "Endpoint=sb://localhost;SharedAccessKey=x" }, plugins: ["./a"] }),
  );
  await assert.rejects(readExample("Nothing", config), {
    message: `--example: expected 'Nothing' to be a file, or an example of a plugin, found no examples in ${join(folder, "a", "examples")}; give the path of a file, or write examples/NAME.json in a plugin's folder`,
  });
});
