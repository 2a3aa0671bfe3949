// Commands where something around them is not as usual: a reader that is gone, a user without a name, options that contradict each other.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { tokenOf } from "../../runtime/cli/admin-call.ts";
import { whoOf } from "../../runtime/cli/by-hand.ts";
import { replay } from "../../runtime/cli/dlq-replay.ts";
import { send, type SendOptions, withExample } from "../../runtime/cli/send.ts";
import { runCommand } from "../support/holdfast-command.ts";
import { within } from "../support/eventually.ts";

const output = JSON.stringify(pathToFileURL(resolve(import.meta.dirname, "../../runtime/cli/output.ts")).href);

/** A process that writes by itself what a command writes, and begins once its input ends. */
function startWriting(t: TestContext, code: string): ReturnType<typeof spawn> {
  const source = `import { once } from "node:events"; import { isReaderGone, writeNote, writeResult } from ${output};
process.stdin.resume(); await once(process.stdin, "end"); const turn = () => new Promise((done) => setImmediate(done)); ${code}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], { stdio: "pipe" });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

async function endOf(child: ReturnType<typeof spawn>): Promise<readonly [code: number | null, stderr: string]> {
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin?.end();
  const [code] = (await within("its end", once(child, "close"), 10_000)) as [number | null];
  return [code, stderr];
}

test("a command whose reader is gone goes on with what it does, without a stack, and ends with 1, for its result was not written", async (t) => {
  const child = startWriting(t, "for (let n = 0; n < 5; n += 1) { writeResult('line\\n'); await turn(); } writeNote(`done, ${isReaderGone()}`);");
  child.stdout?.destroy();
  assert.deepEqual(await endOf(child), [1, "done, true\n"]);
});

test("notes that nobody reads keep no command from its end", async (t) => {
  const child = startWriting(t, "for (let n = 0; n < 5; n += 1) { writeNote('a note'); await turn(); }");
  child.stderr?.destroy();
  assert.equal((await endOf(child))[0], 0);
});

test("a user without a name, as in the image, is named by the number", () => {
  const nameless = (): never => {
    throw Object.assign(new Error("uv_os_get_passwd returned ENOENT"), { code: "ERR_SYSTEM_ERROR" });
  };
  assert.match(whoOf({}, nameless), /^uid \d+@/);
  assert.match(
    whoOf({}, () => ({ username: "ada" })),
    /^ada@/,
  );
  assert.equal(whoOf({ by: "grace" }, nameless), "grace");
});

test("a token's file that is not there, or holds none, is named with its option", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-token-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "token");
  const refused = { code: "HOLDFAST_CONFIGURATION" };
  assert.throws(() => tokenOf({ tokenFile: file }), { ...refused, message: /^--token-file: expected a file that can be read, found ENOENT/ });
  writeFileSync(file, " \n");
  assert.throws(() => tokenOf({ tokenFile: file }), { ...refused, message: /^--token-file: expected a token in .*, found nothing$/ });
  writeFileSync(file, "t\n");
  assert.equal(tokenOf({ tokenFile: file }), "t");
});

const options: SendOptions = { eventType: "T", eventVersion: "1.0", payload: "{}", check: true, project: "local", count: 1 };

test("send refuses options of which one would go unheard", async () => {
  const connectionString = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true";
  for (const [given, message] of [
    [{ connectionString, entity: "q", config: "other.yaml" }, /^--connection-string: expected it without --config/],
    [{ connectionString, entity: "q", source: "s" }, /^--connection-string: expected it without --source/],
    [{ entity: "q", source: "s" }, /^--entity: expected it without --source/],
  ] as const)
    await assert.rejects(send({ ...options, ...given }), { code: "HOLDFAST_CONFIGURATION", message });
});

test("a replay that is to show how others go, and to begin one, does neither", async () => {
  const given = { group: [], event: [], from: "checkpoint", reason: "", perSecond: 1, wait: 1, failuresMax: 0 } as const;
  await assert.rejects(replay({ ...given, status: true, run: true }), { code: "HOLDFAST_CONFIGURATION", message: /^--status: expected it without --run/ });
});

test("what the command line says of an event goes before its example, and that before the defaults", () => {
  const example = { eventType: "E", payload: '{"of":"example"}', eventVersion: "2.0", project: "p" };
  const said = withExample({ ...options, payload: '{"of":"flag"}' }, example, (name) => name === "payload");
  assert.deepEqual([said.payload, said.eventVersion, said.project, said.eventType], ['{"of":"flag"}', "2.0", "p", "E"]);
});

test("debug does not take a folder for a file of what it is to go through", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-debug-folder-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "orders"));
  const connectionString = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true";
  const config = { sources: [{ queue: "q" }], serviceBus: { connectionString }, store: { kind: "sqlite", path: "runs.sqlite" }, plugins: ["./none"] };
  writeFileSync(join(folder, "holdfast.config.json"), JSON.stringify(config));
  const { stderr } = await runCommand(["debug", "orders"], undefined, folder);
  assert.match(stderr, /^holdfast: expected to reach the entity q\/\$DeadLetterQueue/, "expected it to look for an event of this name");
});
