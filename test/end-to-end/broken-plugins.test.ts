// What a person sees of a plugin, or a configuration, that cannot be loaded: each command names the file and the line.
import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type CommandResult, runCommand } from "../support/holdfast-command.ts";
import { freePort } from "../support/redis-server.ts";

function madeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-broken-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A folder with a configuration that lists one plugin, made of these files; returns the configuration's path. */
async function configFor(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = madeFolder(t);
  mkdirSync(join(folder, "broken"));
  const entry = Object.keys(files)[0] ?? "";
  const manifest = { name: "broken", version: "1.0.0", entry: `./${entry}`, skills: ["broken"] };
  for (const [name, text] of Object.entries({ "holdfast.plugin.json": JSON.stringify(manifest), ...files })) writeFileSync(join(folder, "broken", name), text);
  const connectionString = `Endpoint=sb://127.0.0.1:${await freePort()};SharedAccessKeyName=k;SharedAccessKey=a2V5;UseDevelopmentEmulator=true;`;
  const file = join(folder, "holdfast.config.json");
  writeFileSync(
    file,
    JSON.stringify({ sources: [{ queue: "input" }], serviceBus: { connectionString }, plugins: ["./broken"], store: { kind: "sqlite", path: ":memory:" } }),
  );
  return file;
}

const good = `import { definePlugin, defineSkill } from "holdfast";
export default definePlugin({ skills: [defineSkill({ name: "broken", handles: [{ eventType: "T" }], run() {} })] });
`;

const cases: readonly (readonly [what: string, files: Readonly<Record<string, string>>, expected: readonly RegExp[]])[] = [
  [
    "a syntax error",
    { "index.mjs": "const a = 1;\nconst x = ;\n" },
    [/it threw: Unexpected token ';' \(index\.mjs:2:11\)/, /^> 2 \| const x = ;$/m, /^ {4}\| {11}\^$/m],
  ],
  ["a syntax error in what it imports", { "index.mjs": 'import "./other.mjs";\n', "other.mjs": "if (\n" }, [/Unexpected end of input \(other\.mjs:2:1\)/]],
  ["a syntax error in TypeScript", { "index.ts": "const a: number = 1;\nconst x: = ;\n" }, [/\(index\.ts:2:10\)/, /^> 2 \| const x: = ;$/m]],
  ["an enum", { "index.ts": "enum A { B }\n" }, [/TypeScript enum is not supported in strip-only mode \(index\.ts:1:1\)/]],
  [
    "an import of a file that is not there",
    { "index.mjs": 'const a = 1;\nimport "./nope.mjs";\n' },
    [/Cannot find module '.*nope\.mjs' imported from .*\(index\.mjs:2:8\)/, /^> 2 \| import "\.\/nope\.mjs";$/m],
  ],
  [
    "an import of a package that is not there",
    { "index.mjs": 'import x from "no-such-package";\n' },
    [/Cannot find package 'no-such-package' .*\(index\.mjs:1:15\)/, /install it where the plugin lies: npm install no-such-package/],
  ],
  [
    "an import of a name that is not exported",
    { "index.mjs": 'import { b } from "./other.mjs";\n', "other.mjs": "export const a = 1;\n" },
    [/does not provide an export named 'b' \(index\.mjs:1:10\)/],
  ],
  [
    "a throwing top level",
    { "index.mjs": "const o = undefined;\n\no.x;\n" },
    [/Cannot read properties of undefined \(reading 'x'\) \(index\.mjs:3:3\)/, /^> 3 \| o\.x;$/m],
  ],
  [
    "a top level that throws what is no Error",
    { "index.mjs": "const a = 1;\nthrow { code: 42 };\n" },
    [/expected an Error to be thrown, got \{"code":42\} \(index\.mjs:2:1\)/, /^> 2 \| throw \{ code: 42 \};$/m],
  ],
  [
    "an import that throws a text, after another error was caught",
    { "index.ts": 'import "./other.ts";\n', "other.ts": 'try { null!.x; } catch {}\nfunction fail(): never {\n  throw "no token";\n}\nfail();\n' },
    [/it threw: no token \(other\.ts:3:3\)/, /^> 3 \| {3}throw "no token";$/m],
  ],
  [
    "a promise at its top level that is rejected with what is no Error",
    { "index.mjs": "await null;\nawait Promise.reject(42);\n" },
    [/expected an Error to be thrown, got 42 \(index\.mjs:2:15\)/],
  ],
  [
    "what is no Error thrown this time only",
    {
      "index.mjs":
        'import { existsSync, writeFileSync } from "node:fs";\nconst mark = new URL("mark", import.meta.url);\nif (!existsSync(mark)) {\n  writeFileSync(mark, "");\n  throw undefined;\n}\n',
    },
    [/expected an Error to be thrown, got undefined \(index\.mjs\)$/m],
  ],
  [
    "a definition with a mistake",
    { "index.mjs": `import { defineSkill } from "holdfast";\ndefineSkill({ name: "broken", handles: [], run() {} });\n` },
    [/skill 'broken'\.handles: expected at least one .*got \[\] \(index\.mjs:2:1\)/],
  ],
  [
    "a process.exit at its top level",
    { "index.mjs": "\nprocess.exit(3);\n" },
    [/expected its entry to load, it ended the process with process\.exit\(3\) \(index\.mjs:2:9\)/],
  ],
  ["an await that nothing answers", { "index.mjs": "await new Promise(() => undefined);\n" }, [/it waits at its top level for a promise that nothing settles/]],
  [
    "a timer's error while it is imported",
    { "index.mjs": 'setTimeout(() => { throw new Error("from a timer"); });\nsetInterval(() => undefined, 1_000);\nawait new Promise(() => undefined);\n' },
    [/it threw: from a timer/],
  ],
  ["no default export", { "index.mjs": "export const a = 1;\n" }, [/expected its entry to export by default what definePlugin makes/]],
  [
    "a manifest that is no JSON",
    { "index.mjs": good, "holdfast.plugin.json": '{\n  "name": "broken",\n  "version": 1.0.0\n}' },
    [/expected holdfast\.plugin\.json to be JSON: .*\(holdfast\.plugin\.json:3:17\)/, /^> 3 \| {3}"version": 1\.0\.0$/m],
  ],
];

function refusals(result: CommandResult, expected: readonly RegExp[]): void {
  assert.equal(result.code, 2, result.stderr);
  assert.match(result.stderr, /^holdfast: plugin '\.\/broken': /);
  for (const pattern of expected) assert.match(result.stderr, pattern);
}

for (const [what, files, expected] of cases) {
  test(`a plugin with ${what} is named with what is wrong and where`, async (t) =>
    refusals(await runCommand(["skills", "-c", await configFor(t, files)]), expected));
}

test("skills, start and doctor find a plugin that never ends its import, each within a bound", async (t) => {
  const file = await configFor(t, { "index.mjs": "for (;;) Math.random();\n" });
  const startedAtMs = performance.now();
  const [skills, start, doctor] = await Promise.all([
    runCommand(["skills", "-c", file]),
    runCommand(["start", "--log", "pretty", "-c", file]),
    runCommand(["doctor", "-c", file, "--json"]),
  ]);
  assert.ok(performance.now() - startedAtMs < 60_000);
  const expected = [/expected its entry to load, it had not ended its import after 10000 ms: look for a loop without end/];
  refusals(skills, expected);
  refusals(start, expected);
  assert.equal(doctor.code, 1, doctor.stderr);
  assert.match(doctor.stdout, /it had not ended its import after 10000 ms/);
});

for (const [what, option, says] of [
  ["a payload schema that cannot be compiled", 'payload: { type: "nonsense" }', /nonsense|payload/],
  ["a skill that cannot be warmed up", 'warmUp() { throw new Error("no model"); }', /no model/],
] as const) {
  test(`doctor finds ${what}, which a thread could not start with`, async (t) => {
    const file = await configFor(t, { "index.mjs": good.replace("run() {}", `run() {}, ${option}`) });
    const { code, stdout, stderr } = await runCommand(["doctor", "-c", file, "--json"]);
    assert.equal(code, 1, stderr);
    const plugins = (JSON.parse(stdout) as { check: string; verdict: string; found: string }[]).find(({ check }) => check === "plugins");
    assert.equal(plugins?.verdict, "failed");
    assert.match(plugins.found, says);
  });
}

test("what a plugin prints while it is imported does not get between the lines of skills --json", async (t) => {
  const file = await configFor(t, { "index.mjs": `console.log("hello");\nprocess.stdout.write("hello");\n${good}` });
  const { code, stdout, stderr } = await runCommand(["skills", "-c", file, "--json"]);
  assert.equal(code, 0, stderr);
  assert.equal((JSON.parse(stdout) as { name: string }[])[0]?.name, "broken");
});

const configurations: readonly (readonly [what: string, name: string, text: string, expected: readonly RegExp[]])[] = [
  ["a syntax error", "holdfast.config.mjs", "export default {\n  plugins: [,\n};\n", [/\(holdfast\.config\.mjs:3:1\)/]],
  ["a failed import", "holdfast.config.ts", 'import "./nope.ts";\nexport default {};\n', [/\(holdfast\.config\.ts:1:8\)/]],
  [
    "a throwing top level",
    "holdfast.config.mjs",
    "\nthrow new Error('no settings');\n",
    [/no settings \(holdfast\.config\.mjs:2:7\)/, /^> 2 \| throw new Error/m],
  ],
  [
    "a top level that throws what is no Error",
    "holdfast.config.ts",
    "const a: number = 1;\nthrow { code: a };\n",
    [/got \{"code":1\} \(holdfast\.config\.ts:2:1\)/],
  ],
  ["text that is no JSON", "holdfast.config.json", '{\n  "sources": [{ "queue": "a" }],\n}\n', [/\(holdfast\.config\.json:3:1\)/, /^> 3 \| \}$/m]],
  [
    "JSON that ends too soon",
    "holdfast.config.json",
    '{\n  "sources": [',
    [/Unexpected end of JSON input|Expected property name .* \(holdfast\.config\.json:2:\d+\)/],
  ],
  [
    "a queue and a topic together",
    "holdfast.config.json",
    JSON.stringify({ sources: [{ queue: "a", topic: "b" }], serviceBus: { connectionString: "x" }, plugins: ["./a"] }),
    [/sources\.0: expected either queue, or topic \+ subscription \+ retryQueue, got queue \+ topic; keep one of the two/],
  ],
  [
    "no entity to read",
    "holdfast.config.json",
    JSON.stringify({ sources: [{}], serviceBus: { connectionString: "x" }, plugins: ["./a"] }),
    [/sources\.0: expected either queue, or topic .*, got nothing; give one of the two/],
  ],
];

for (const [what, name, text, expected] of configurations) {
  test(`a configuration with ${what} is refused with what is wrong and where`, async (t) => {
    const file = join(madeFolder(t), name);
    writeFileSync(file, text);
    const { code, stderr } = await runCommand(["skills", "-c", file]);
    assert.equal(code, 2, stderr);
    for (const pattern of expected) assert.match(stderr, pattern);
  });
}
