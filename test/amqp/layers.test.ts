// The engine's README names the layers and their files; this holds the imports to it.
import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";

const folder = resolve(import.meta.dirname, "../../runtime/amqp");
const rows = readFileSync(join(folder, "README.md"), "utf8")
  .split("\n")
  .flatMap((line) => {
    const [, layer, names] = /^\| [a-z][^|]*\| `([a-z]+)\/` \|(.*)\|$/.exec(line) ?? [];
    return layer === undefined ? [] : [{ layer, files: [...names!.matchAll(/`([a-z-]+)`/g)].map(([, name]) => `${layer}/${name}`) }];
  });
const layers = rows.map(({ layer }) => layer);
const files = globSync("**/*.ts", { cwd: folder }).map((file) => file.replace(/\.ts$/, ""));

test("every file stands in the row of its folder, and every name there is a file", () => {
  assert.deepEqual(rows.flatMap((row) => row.files).sort(), files.sort());
});

test("a file imports only from its own layer and those above it", () => {
  const wrong: string[] = [];
  for (const file of files) {
    const layer = file.split("/")[0]!;
    for (const [, specifier] of readFileSync(join(folder, `${file}.ts`), "utf8").matchAll(/^(?:import|export|\}).* from "([^"]+)";$/gm)) {
      const [, other] = /^\.\.\/([a-z]+)\/[a-z-]+\.ts$/.exec(specifier!) ?? [];
      const isKnown =
        specifier!.startsWith("node:") ||
        /^\.\/[a-z-]+\.ts$/.test(specifier!) ||
        (other !== undefined && layers.indexOf(other) >= 0 && layers.indexOf(other) < layers.indexOf(layer));
      if (!isKnown) wrong.push(`${file} imports ${specifier}`);
    }
  }
  assert.deepEqual(wrong, []);
});
