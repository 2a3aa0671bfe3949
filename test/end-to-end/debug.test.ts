// A dead letter, gone through again by `holdfast debug`.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { type DebugScene, debugScene, mistakeLine, skillSource } from "../support/debug-scene.ts";
import { longTest } from "../support/long.ts";
import { eventually } from "../support/eventually.ts";
import { runCommand, startCommand } from "../support/holdfast-command.ts";

const payload = { order: "o-1", amount: 12, card: { holder: "Ada Lovelace", number: "4111111111111111" } };
const runtime = resolve(import.meta.dirname, "../../runtime");
/** Outside of the temporary folder. */
const written = join(import.meta.dirname, "held-back.txt");
const line = `index.ts:${mistakeLine}`;

/** All that there is outside. */
function world({ folder, broker, asked }: DebugScene): unknown {
  const database = new DatabaseSync(join(folder, "runs.sqlite"), { readOnly: true });
  const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").all();
  const rows = tables.map(({ name }) => [name, database.prepare(`SELECT * FROM "${String(name)}"`).all()]);
  database.close();
  const queues = ["orders", "orders/$DeadLetterQueue", "events"].map((name) => broker.inspectMessages(name, { bodies: true }));
  return { rows, queues, asked: [...asked] };
}

/** The package, as a project has it. */
function installPackage(folder: string): void {
  const own = join(folder, "node_modules/holdfast");
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, "package.json"), JSON.stringify({ name: "holdfast", type: "module", exports: { ".": "./index.js", "./testing": "./testing.js" } }));
  writeFileSync(join(own, "index.js"), `export * from "${runtime}/index.ts";\n`);
  writeFileSync(join(own, "testing.js"), `export * from "${runtime}/testing/index.ts";\n`);
}

function runTest(file: string): { readonly status: number | null; readonly output: string } {
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--test", file], { encoding: "utf8", env });
  return { status, output: `${stdout}${stderr}` };
}

longTest(
  "a dead letter is gone through again: the same failure on the same line, no call outside, and a test of it that fails until the skill is mended",
  async (t) => {
    const scene = await debugScene(t, payload);
    const { config, folder } = scene;
    const before = world(scene);
    installPackage(folder);

    const shown = await runCommand(["debug", "order-1", "-c", config, "--to-test"]);
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /^same failure, same line$/m);
    assert.match(shown.stdout, /step 'hold' completed; 1 answer of calls/);
    assert.ok(shown.stdout.includes(`> ${mistakeLine} |       return body.receipt.id;`), shown.stdout);
    const { stdout } = await runCommand(["debug", "1", "-c", config, "--json"]);
    const { comparison, now, calls } = JSON.parse(stdout) as Record<string, { readonly at: string } & readonly { readonly dependency: string }[]>;
    assert.deepEqual([comparison, now?.at.replace(/:\d+$/, ""), calls?.map(({ dependency }) => dependency)], ["same failure", line, ["bank"]]);
    assert.deepEqual(world(scene), before);

    const file = join(folder, "plugins/charge/order-1.test.ts");
    const text = readFileSync(file, "utf8");
    assert.doesNotMatch(text, /Lovelace|4111/);
    assert.match(text, /card: \{ holder: "Xxx Xxxxxxxx", number: "0000000000000000" \}/);
    assert.match(text, /Redacted: card\.holder, card\.number\.\n/);
    const failing = runTest(file);
    assert.equal(failing.status, 1);
    assert.match(failing.output, /Cannot read properties of undefined \(reading 'id'\)/);
    const mended = skillSource.replace("return body.receipt.id;", "return body.receipt?.id ?? null;");
    writeFileSync(join(folder, "plugins/charge/index.ts"), mended);
    const passing = runTest(file);
    assert.equal(passing.status, 0, passing.output);
    const again = await runCommand(["debug", "order-1", "-c", config]);
    assert.match(again.stdout, /differs: it failed, and completes now/);
    assert.deepEqual(world(scene), before);
  },
);

longTest("what is not on record is refused before it leaves, and answered by a file of stubs", async (t) => {
  const scene = await debugScene(t, payload);
  const { config, folder, asked } = scene;
  const letters = join(folder, "letters.jsonl");
  assert.equal((await runCommand(["dlq", "export", "-c", config, "--out", letters])).code, 0);
  const before = [...asked];

  const refused = await runCommand(["debug", letters, "-c", config]);
  assert.equal(refused.code, 1, refused.stdout);
  assert.match(
    refused.stdout,
    /stopped: the call of 'stock' in step 'hold' was refused before it left: there is no record of its answer; it asks \{"method":"POST","path":"\/holds"/,
  );
  const stubs = join(folder, "plugins/charge/stubs.ts");
  writeFileSync(
    stubs,
    `import { stub } from "${runtime}/testing/index.ts";
import { bank, stock } from "./index.ts";
export default [stub(stock, { body: { id: "hold-2" } }), stub(bank, ({ request }) => ({ body: { asked: request.body } }))];
`,
  );
  const answered = await runCommand(["debug", letters, "-c", config, "--stubs", stubs]);
  assert.match(answered.stdout, /^same failure, same line$/m, answered.stderr);
  assert.deepEqual(asked, before);

  writeFileSync(
    join(folder, "plugins/charge/index.ts"),
    skillSource.replace("return body.receipt.id;", 'return (await fetch("http://127.0.0.1:59999/receipts")).status;'),
  );
  const outside = await runCommand(["debug", "order-1", "-c", config]);
  assert.equal(outside.code, 1, outside.stdout);
  assert.match(outside.stdout, /stopped: a connection to 127\.0\.0\.1:59999 was refused before it left/);

  // Neither does its first line in the thread that tries its import, nor what it does with files, names and processes.
  const reaching = `import { readFileSync, writeFileSync } from "node:fs";
import { lookup } from "node:dns/promises";
readFileSync(import.meta.filename);
await fetch("${scene.url}/import").catch(() => undefined);
await lookup("example.com").catch(() => undefined);
try { writeFileSync(${JSON.stringify(written)}, "x"); } catch {}
try { process.kill(process.ppid, "SIGUSR2"); } catch {}
`;
  writeFileSync(join(folder, "plugins/charge/index.ts"), reaching + skillSource);
  const imported = await runCommand(["debug", "order-1", "-c", config]);
  assert.equal(imported.code, 1, imported.stdout);
  for (const what of [
    "a connection to 127\\.0\\.0\\.1:\\d+",
    "a look-up of 'example\\.com'",
    "a change of the file '.*held-back\\.txt'",
    "a signal to process \\d+",
  ])
    assert.match(imported.stdout, new RegExp(`${what} was refused before it left`));
  assert.equal(existsSync(written), false);
  assert.deepEqual(asked, before);
  // A mistake there is said with its place all the same.
  writeFileSync(join(folder, "plugins/charge/index.ts"), `${reaching}const x = ;\n`);
  assert.match((await runCommand(["debug", "order-1", "-c", config])).stderr, /plugin '\.\/plugins\/charge': expected its entry to load.*index\.ts:8:/s);

  // What the payload holds is in no test, whatever says it: a failure's message, or a request that was refused.
  const sayings = [
    ["return body.receipt.id;", "throw new Error('declined ' + context.event.payload.card.number + body.state);", "order-1", /: declined 0{16}/],
    ["body: { order }", "body: { order, card: context.event.payload.card }", letters, /Not on record: .*"holder":"Xxx Xxxxxxxx"/],
  ] as const;
  for (const [index, [from, to, of, shown]] of sayings.entries()) {
    writeFileSync(join(folder, "plugins/charge/index.ts"), skillSource.replace(from, to));
    const file = join(folder, `said-${index}.test.ts`);
    await runCommand(["debug", of, "-c", config, "--to-test", file]);
    const text = readFileSync(file, "utf8");
    assert.match(text, shown);
    assert.doesNotMatch(text, /Lovelace|4111/);
  }

  // Nor what contracts mark, of the event or of one that is emitted on the way.
  const marking = (name: string): string => JSON.stringify({ type: "object", properties: { [name]: { type: "string", "x-sensitive": true } } });
  for (const [type, name] of [
    ["OrderPlaced", "order"],
    ["OrderCharged", "receipt"],
  ] as const) {
    mkdirSync(join(folder, "contracts", type), { recursive: true });
    writeFileSync(join(folder, "contracts", type, "1.0.json"), marking(name));
  }
  writeFileSync(config, JSON.stringify({ ...(JSON.parse(readFileSync(config, "utf8")) as object), contracts: "./contracts" }));
  writeFileSync(
    join(folder, "plugins/charge/index.ts"),
    skillSource.replace("return body.receipt.id;", 'step.emit("OrderCharged", { order, receipt: body.state }); return body.receipt.id;'),
  );
  const file = join(folder, "contracts.test.ts");
  const marked = await runCommand(["debug", "order-1", "-c", config, "--to-test", file]);
  assert.match(marked.stderr, /Redacted: the OrderCharged that it emits\.receipt, card\.holder, card\.number, order\./);
  const text = readFileSync(file, "utf8");
  assert.match(text, /order: "x-0"/);
  assert.match(text, /answer: \{ body: \{ state: "xxxxxxxx", reason: "insufficient" \} \}/);
});

interface Frontend {
  readonly post: (method: string, params?: Readonly<Record<string, unknown>>) => void;
  /** Where it has paused so far, as `FILE:LINE`, from 1. */
  readonly pauses: readonly string[];
}

/** A frontend of the inspector, which goes on at each pause. */
async function attach(url: string): Promise<Frontend> {
  const socket = new WebSocket(url);
  const pauses: string[] = [];
  const scripts = new Map<string, string>();
  let id = 0;
  const post: Frontend["post"] = (method, params = {}) => {
    id += 1;
    socket.send(JSON.stringify({ id, method, params }));
  };
  socket.addEventListener("message", ({ data }) => {
    const { method, params = {} } = JSON.parse(String(data)) as { readonly method?: string; readonly params?: Readonly<Record<string, unknown>> };
    if (method === "Debugger.scriptParsed") scripts.set(String(params["scriptId"]), String(params["url"]));
    if (method !== "Debugger.paused") return;
    const [frame] = params["callFrames"] as readonly { readonly location: { readonly scriptId: string; readonly lineNumber: number } }[];
    if (frame !== undefined) pauses.push(`${scripts.get(frame.location.scriptId)}:${frame.location.lineNumber + 1}`);
    post("Debugger.resume");
  });
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  return { post, pauses };
}

longTest("a debugger pauses before the skill, and at breakpoints in the author's own file", async (t) => {
  const { config } = await debugScene(t, payload);
  const { process: child, done } = startCommand(["debug", "order-1", "-c", config, "--inspect-brk", "127.0.0.1:0"]);
  t.after(() => child.kill("SIGKILL"));
  let heard = "";
  child.stderr?.on("data", (text: string) => (heard += text));
  const urlIn = (): string | undefined => /waiting for a debugger at (ws:\S+);/.exec(heard)?.[1];
  await eventually("the inspector to listen", () => urlIn() !== undefined, 20_000);
  const { post, pauses } = await attach(urlIn() ?? "");
  post("Runtime.enable");
  post("Debugger.enable");
  post("Debugger.setBreakpointByUrl", { urlRegex: "plugins/charge/index\\.ts$", lineNumber: mistakeLine - 1 });
  post("Runtime.runIfWaitingForDebugger");
  const { stdout } = await done;
  assert.match(stdout, /^same failure, same line$/m);
  assert.equal(pauses[0], "holdfast-debug:1");
  assert.match(pauses[1] ?? "", new RegExp(`plugins/charge/${line.replace(".", "\\.")}$`));
});
