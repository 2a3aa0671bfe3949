// The engine's README names the layers and their files; this holds the imports to it.
import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";

const folder = resolve(import.meta.dirname, "../../runtime/amqp");
const table = readFileSync(join(folder, "README.md"), "utf8")
  .split("\n")
  .filter((line) => /^\| [a-z].*`/.test(line));
/** The row that each file stands in. */
const rows = new Map(table.flatMap((line, row) => [...line.matchAll(/`([a-z-]+)`/g)].map(([, name]) => [name!, row] as const)));
const files = globSync("*.ts", { cwd: folder }).map((file) => file.replace(/\.ts$/, ""));

test("every file stands in one row of the table of layers, and every name there is a file", () => {
  assert.deepEqual([...rows.keys()].sort(), files.sort());
});

test("a file imports only from its own layer and those above it", () => {
  const wrong: string[] = [];
  for (const file of files) {
    for (const [, specifier, name] of readFileSync(join(folder, `${file}.ts`), "utf8").matchAll(/^(?:import|export|\}).* from "((?:\.\/([a-z-]+)\.ts)|[^"]+)";$/gm)) {
      if (name === undefined) {
        if (!specifier!.startsWith("node:")) wrong.push(`${file} imports ${specifier}`);
      } else if (rows.get(name)! > rows.get(file)!) wrong.push(`${file} imports ${name}`);
    }
  }
  assert.deepEqual(wrong, []);
});
