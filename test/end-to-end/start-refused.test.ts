// What keeps a worker from starting is a line of its log: JSON for machines, with code, reason and remedy, and plain for eyes.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "../support/holdfast-command.ts";

const good = { sources: [{ queue: "input" }], serviceBus: { connectionString: "Endpoint=sb://localhost:1;SharedAccessKeyName=a;SharedAccessKey=b" } };

const cases: readonly (readonly [what: string, args: readonly string[], config: string, code: string, exit: number, says: RegExp])[] = [
  ["no such file", ["start"], "", "HOLDFAST_CONFIGURATION", 2, /^expected a configuration at .*, found no such file$/],
  ["a wrong value", ["start"], JSON.stringify({ ...good, plugins: [], threads: "many" }), "HOLDFAST_CONFIGURATION", 2, /threads: expected number, got "many"/],
  [
    "a plugin that is not there",
    ["start"],
    JSON.stringify({ ...good, plugins: ["./none"] }),
    "HOLDFAST_CONFIGURATION",
    2,
    /^plugin '\.\/none': expected it at/,
  ],
  ["an option that there is not", ["start", "--bogus"], JSON.stringify(good), "HOLDFAST_USAGE", 2, /^unknown option '--bogus'$/],
];

for (const [what, args, config, code, exit, says] of cases) {
  test(`${what}: one line of JSON, and one for eyes`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-refused-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "holdfast.config.json");
    if (config !== "") writeFileSync(file, config);
    const [json, pretty] = await Promise.all([runCommand([...args, "-c", file]), runCommand([...args, "--log", "pretty", "-c", file])]);
    const line = JSON.parse(json.stderr) as Record<"level" | "code" | "type" | "msg", string> & { readonly exitCode: number };
    assert.deepEqual([line.level, line.type, line.code, line.exitCode, json.code], ["fatal", "command.failed", code, exit, exit]);
    assert.match(line.msg, says);
    assert.deepEqual([pretty.code, /^(?:holdfast|error): /.test(pretty.stderr)], [exit, true], pretty.stderr);
    assert.ok(pretty.stderr.includes(line.msg), pretty.stderr);
  });
}
