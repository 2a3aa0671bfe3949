// What `holdfast config` shows, and what a wrong file or variable is told.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runCommand } from "../support/holdfast-command.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-config-"));
after(() => rmSync(folder, { recursive: true }));

const yaml = `# yaml-language-server: $schema=x
$schema: ./schema.json
sources: [{ queue: input }]
serviceBus: { connectionString: "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=hush-hush" }
store: { kind: redis, url: "redis://user:hush-hush@cache", password: { env: REDIS_PASSWORD } }
plugins:
  - ./plugins/a
admin:
  port: 9000
  changesPerMinute: 5
escalation:
  channels: { pager: { kind: webhook, url: "https://pager.example/hush-hush", headers: { x-key: hush-hush } } }
  rules: [{ name: any, to: [pager] }]
`;

function written(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

interface Shown {
  readonly values: readonly { readonly key: string; readonly value: unknown; readonly from: string }[];
}

test("shows each value with the line, variable or flag that it comes from, and no secret", async () => {
  const file = written("shown.yaml", yaml);
  const env = { ...process.env, HOLDFAST_THREADS: "3", HOLDFAST_ADMIN__PORT: "0" };
  const args = ["config", "-c", file, "--set", "threads=2", "--set", "admin.changesPerMinute=7"];
  const [shown, forEyes] = await Promise.all([runCommand([...args, "--json"], env), runCommand(args, env)]);
  assert.equal(shown.code, 0, shown.stderr);
  const { values } = JSON.parse(shown.stdout) as Shown;
  const of = (key: string): unknown[] => values.flatMap((row) => (row.key === key ? [row.value, row.from] : []));
  assert.deepEqual(of("threads"), [2, "--set"]);
  assert.deepEqual(of("admin.port"), [0, "HOLDFAST_ADMIN__PORT"]);
  assert.deepEqual(of("admin.changesPerMinute"), [7, "--set"]);
  assert.deepEqual(of("admin.host"), ["127.0.0.1", "default"]);
  assert.deepEqual(of("sources.0.queue"), ["input", "shown.yaml:3:13"]);
  assert.deepEqual(of("plugins"), [["./plugins/a"], "shown.yaml:6:1"]);
  assert.deepEqual(of("serviceBus.connectionString"), ["[redacted]", "shown.yaml:4:15"]);
  assert.deepEqual(of("store.url"), ["[redacted]", "shown.yaml:5:23"]);
  assert.deepEqual(of("store.password").at(0), "[variable REDIS_PASSWORD]");
  assert.deepEqual(of("escalation.channels.pager.headers.x-key").at(0), "[redacted]");
  for (const { stdout, stderr } of [shown, forEyes]) assert.ok(!`${stdout}${stderr}`.includes("hush-hush"));
  assert.match(forEyes.stdout, /admin\.port +│ 0 +│ HOLDFAST_ADMIN__PORT/);
});

test("what is wrong is named with file, line and column, or with its variable", async () => {
  const wrongKey = written("key.yaml", `${yaml}stopBudgetMs: soon\nthredas: 4\n`);
  const wrongText = written("text.yaml", "sources:\n  - queue: input\n queue: other\n");
  const json = written(
    "value.json",
    '{\n  "sources": [{ "queue": "input" }],\n  "serviceBus": { "connectionString": "x" },\n  "plugins": ["a"],\n  "threads": 0\n}\n',
  );
  const good = written("good.yaml", yaml);
  const [key, text, value, variable, misspelt] = await Promise.all([
    runCommand(["config", "-c", wrongKey]),
    runCommand(["config", "-c", wrongText]),
    runCommand(["config", "-c", json]),
    runCommand(["config", "-c", good], { ...process.env, HOLDFAST_THREADS: "many" }),
    runCommand(["config", "-c", good], { ...process.env, HOLDFAST_THREDS: "4" }),
  ]);
  assert.deepEqual(
    [key, text, value, variable, misspelt].map(({ code }) => code),
    [2, 2, 2, 2, 2],
  );
  assert.match(key.stderr, /stopBudgetMs: expected number \(milliseconds, as a whole number\), got "soon" \(key\.yaml:14:1\)/);
  assert.match(key.stderr, /thredas: unknown key; did you mean 'threads'\? \(key\.yaml:15:1\)/);
  assert.match(text.stderr, /text\.yaml:\d:\d/);
  assert.match(value.stderr, /threads: expected number to be >=1, got 0 \(value\.json:5:3\)/);
  assert.match(variable.stderr, /threads: expected number, got "many" \(HOLDFAST_THREADS\)/);
  assert.match(misspelt.stderr, /HOLDFAST_THREDS: unknown variable; did you mean 'HOLDFAST_THREADS'\?/);
});
