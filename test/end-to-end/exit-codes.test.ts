// With what each command ends: 0 good, 1 found or failed, 2 wrong use or configuration; 130, for a forced end, is tried in
// stop-signals.test.ts.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { startBroker } from "#load/broker/broker.ts";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { within } from "../support/eventually.ts";
import { freePort } from "../support/redis-server.ts";

const root = resolve(import.meta.dirname, "../..");
const deadlineMs = 60_000;

async function codeOf(t: TestContext, args: readonly string[]): Promise<number | null> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  await within(`${args.join(" ")} to end`, once(child, "close"), deadlineMs);
  assert.ok(!/^\s+at .*:\d+:\d+/m.test(said), `${args.join(" ")}: expected no stack, found ${said}`);
  return child.exitCode;
}

const holdfast = "runtime/cli/main.ts";

async function config(t: TestContext, changes: Record<string, unknown> = {}): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-exit-"));
  const broker = await startBroker({ entities: { queues: ["input"] } });
  t.after(async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, "holdfast.config.json");
  const settings = {
    sources: [{ queue: "input" }],
    serviceBus: { connectionString: broker.connectionString },
    plugins: [join(root, "handlers/event-dispatcher")],
    pluginRoots: [join(root, "handlers")],
    threads: 1,
  };
  writeFileSync(file, JSON.stringify({ ...settings, ...changes }));
  return file;
}

test("the table is what the README says", () => assert.deepEqual(exitCodes, { good: 0, failed: 1, usage: 2, restart: 75, forced: 130 }));

test("every command ends with 0 when it did what it was asked", async (t) => {
  const file = await config(t);
  for (const args of [
    [holdfast, "--version"],
    [holdfast, "start", "--help"],
    [holdfast, "skills", "-c", file],
    [holdfast, "doctor", "-c", file],
    [holdfast, "send", "-c", file, "--event-type", "Some"],
    [holdfast, "dev", "--help"],
    [holdfast, "broker", "--help"],
    ["load/broker/main.ts", "--help"],
    ["bench/main.ts"],
    ["bench/fuzz/main.ts", "--help"],
  ])
    assert.equal(await codeOf(t, args), exitCodes.good, args.join(" "));
});

test("every command ends with 1 when it found something wrong, or could not do it", async (t) => {
  const file = await config(t, { sources: [{ queue: "nowhere" }] });
  const nobody = `http://127.0.0.1:${await freePort()}`;
  for (const args of [
    [holdfast, "start", "-c", file],
    [holdfast, "doctor", "-c", file],
    [holdfast, "send", "-c", file, "--event-type", "Some"],
    [holdfast, "broker", "inspect", "--control", nobody],
    [holdfast, "broker", "fault", "list", "--control", nobody],
    ["load/broker/main.ts", "inspect", "--control", nobody],
  ])
    assert.equal(await codeOf(t, args), exitCodes.failed, args.join(" "));
});

test("every command ends with 2 when it is used in a wrong way, or its configuration is wrong", async (t) => {
  const file = await config(t, { inFlightMax: "many" });
  const alone = await config(t, { store: { kind: "sqlite", path: ":memory:" } });
  for (const args of [
    [holdfast],
    [holdfast, "strat"],
    ...["start", "skills", "doctor", "send", "dev", "broker"].map((command) => [holdfast, command, "--nonsense"]),
    ...["start", "skills", "doctor"].map((command) => [holdfast, command, "-c", file]),
    ...[["dlq", "show"], ["dlq", "replay", "--all"], ["runs", "list"], ["reconcile"]].map((command) => [holdfast, ...command, "-c", alone]),
    [holdfast, "start", "-c", "/nowhere.json"],
    [holdfast, "send", "-c", file, "--event-type", "Some"],
    [holdfast, "send"],
    [holdfast, "dev", "--events", "many"],
    [holdfast, "dev", "--watch"],
    [holdfast, "dev", "--hang", "model", "--kill-worker-after", "0.5"],
    [holdfast, "broker", "--port", "x"],
    [holdfast, "broker", "inspect", "--control", "here"],
    [holdfast, "broker", "fault", "add", "drop", "--rate", "often"],
    ["load/broker/main.ts", "--entities", "{"],
    ["bench/main.ts", "nonsense"],
    ["bench/fuzz/main.ts", "nonsense"],
  ])
    assert.equal(await codeOf(t, args), exitCodes.usage, args.join(" "));
});
