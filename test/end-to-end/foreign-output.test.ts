// What a configuration and its plugins print, at once and later, beside what the commands write themselves: results stay JSON, and
// a worker's log stays a log.
import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { startBroker } from "#load/broker/broker.ts";
import { eventually } from "../support/eventually.ts";
import { runCommand, startCommand } from "../support/holdfast-command.ts";

const { REDIS_URL: _redis, ...env } = process.env;

/** Prints in every way that there is, at once and every few milliseconds. */
const printing = (who: string): string => `
console.log("${who} by console");
process.stdout.write("${who} half a line");
process.emitWarning("${who} warns");
await new Promise((printed) => {
  const timer = setInterval(() => { process.stdout.write("${who} later"); console.error("${who} complains later"); timer.unref(); printed(); }, 2);
});
`;

const plugin = `import { definePlugin, defineSkill } from "holdfast";
${printing("plugin")}
export default definePlugin({ skills: [defineSkill({ name: "printer", handles: [{ eventType: "Printed" }], run() {} })] });
`;

/** A broker, and a configuration and a plugin that print; returns the configuration's path. */
async function printingConfig(t: TestContext, ending = ""): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-printing-"));
  const broker = await startBroker({ entities: { queues: [{ name: "input", deadLetterOnExpiry: true }] } });
  t.after(async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  mkdirSync(join(folder, "printer"));
  const manifest = { name: "printer", version: "1.0.0", entry: "./index.mjs", skills: ["printer"] };
  writeFileSync(join(folder, "printer", "holdfast.plugin.json"), JSON.stringify(manifest));
  writeFileSync(join(folder, "printer", "index.mjs"), plugin);
  const settings = {
    sources: [{ queue: "input" }],
    serviceBus: { connectionString: broker.connectionString },
    plugins: ["./printer"],
    store: { kind: "sqlite", path: "runs.sqlite" },
    threads: 1,
  };
  const file = join(folder, "holdfast.config.mjs");
  writeFileSync(file, `${printing("configuration")}${ending}\nexport default ${JSON.stringify(settings)};\n`);
  return file;
}

test("standard output is one JSON document, whatever configuration and plugins print, also later from timers", async (t) => {
  const file = await printingConfig(t);
  for (const args of [
    ["skills", "--json"],
    ["doctor", "--json"],
    ["send", "--event-type", "Printed", "--json"],
    ["dlq", "groups", "--json"],
    ["dlq", "show", "--json"],
    ["dlq", "replay", "--all", "--json"],
    ["dlq", "replay", "--all", "--run", "--json"],
  ]) {
    const { code, stdout, stderr } = await runCommand([...args, "-c", file], env);
    assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
    assert.doesNotThrow(() => JSON.parse(stdout) as unknown, `${args.join(" ")}: ${stdout.slice(0, 500)}`);
    for (const text of ["configuration by console", "configuration half a line", "configuration later"])
      assert.ok(stderr.split("\n").includes(text), `${args.join(" ")}: expected '${text}' on standard error, found ${stderr}`);
  }
});

test("every line of a worker is JSON, whatever its configuration and its plugins print before the log is there", async (t) => {
  const file = await printingConfig(t);
  const worker = startCommand(["start", "-c", file], env);
  t.after(() => worker.process.kill("SIGKILL"));
  let log = "";
  worker.process.stderr?.on("data", (text: string) => (log += text));
  await eventually("the worker to start", () => log.includes("worker.started"), 30_000);
  worker.process.kill("SIGTERM");
  const { code, stdout, stderr } = await worker.done;
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "");
  const lines = stderr
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { readonly msg: string; readonly level: string; readonly worker?: string });
  assert.ok(lines.every(({ worker: name }) => typeof name === "string"));
  for (const [text, level] of [
    ["configuration by console", "info"],
    ["configuration half a line", "info"],
    ["configuration later", "info"],
    ["configuration complains later", "warn"],
    ["plugin by console", "info"],
    ["plugin later", "info"],
    ["plugin complains later", "warn"],
  ] as const)
    assert.ok(
      lines.some((line) => line.msg === text && line.level === level),
      `expected a line '${text}' at ${level}, found ${stderr}`,
    );
  assert.ok(lines.some(({ msg, level }) => level === "warn" && /Warning: configuration warns/.test(msg)));
  const started = lines.findIndex(({ msg }) => msg === "worker.started");
  assert.ok(lines.findIndex(({ msg }) => msg === "configuration by console") < started);
});

test("what was printed before a worker could not begin is shown before why, and not lost", async (t) => {
  const file = await printingConfig(t, 'throw new Error("no settings");');
  const { code, stdout, stderr } = await runCommand(["start", "-c", file], env);
  assert.deepEqual([code, stdout], [2, ""]);
  const lines = stderr
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { readonly msg: string; readonly level: string; readonly code?: string });
  assert.deepEqual(
    lines.slice(0, 2).map(({ msg, level }) => [msg, level]),
    [
      ["configuration by console", "info"],
      ["configuration half a line", "info"],
    ],
  );
  const last = lines.at(-1);
  assert.deepEqual([last?.level, last?.code, /no settings/.test(last?.msg ?? "")], ["fatal", "HOLDFAST_CONFIGURATION", true]);
});
