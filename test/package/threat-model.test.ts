// Each line of the threat model leads to a test that there is.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readDocument, root } from "../support/markdown.ts";

test("each line of the threat model names a test that exists, and every door has one", () => {
  const rows = [...readDocument("deploy/THREAT-MODEL.md").matchAll(/^\| (.*?) \| (.*?) \| (.*?) \| (.*?) \| `(test\/[^`]+)`: (.+) \|$/gm)];
  assert.ok(rows.length >= 25, `${rows.length} lines`);
  for (const [line, , , , , file = "", name = ""] of rows) {
    const text = readFileSync(join(root, file), "utf8");
    // Of those that run for each overlay, the overlay's name is put before it.
    const written = [name, name.replace(/^\w+: /, `\${overlay}: `)];
    assert.ok(
      written.some((one) => ['"', "`", "'"].some((quote) => text.includes(`${quote}${one}${quote}`))),
      `expected ${file} to have the test '${name}': ${line}`,
    );
  }
  const doors = rows.map(([, door = ""]) => door).filter((door) => door !== "");
  for (const door of ["The queue", "The run store", "The admin server", "A dependency", "Plugins"]) assert.ok(doors.includes(door), door);
});
