// The package as somebody gets it: packed, installed into an empty folder with npm, and used there as the README says.
import { strict as assert } from "node:assert";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { type TestContext, after, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { askControl } from "#load/broker/control/client.ts";
import type { QueueInspection } from "#load/broker/inspection.ts";
import { packagesOfTrials } from "#load/dev/packages.ts";
import { eventually } from "../support/eventually.ts";
import { debugScene, installedSource } from "../support/debug-scene.ts";
import { longTest } from "../support/long.ts";
import { readmeBlock, readmeCommand, startMailer, writeFirstSkill, writeLocalConfig } from "../support/first-skill.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "holdfast-package-"));
const installed = join(folder, "node_modules", "holdfast");
const { REDIS_URL: _redis, ...inherited } = process.env;
const env = { ...inherited, PATH: [join(folder, "node_modules", ".bin"), dirname(process.execPath), process.env["PATH"]].join(delimiter) };

interface Ended {
  readonly status: number | null;
  readonly output: string;
}

function run(line: string, cwd: string, more: NodeJS.ProcessEnv = {}): Ended {
  const { status, stdout, stderr } = spawnSync("sh", ["-c", line], { cwd, env: { ...env, ...more }, encoding: "utf8" });
  return { status, output: `${stdout}${stderr}` };
}

/** Starts a command that runs until it is stopped; `exec`, so that signals are the command's own. */
function start(
  t: TestContext,
  line: string,
  more: NodeJS.ProcessEnv = {},
): { readonly child: ChildProcess; readonly said: () => string; readonly ended: Promise<number | null> } {
  const child = spawn("sh", ["-c", `exec ${line}`], { cwd: folder, env: { ...env, ...more }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (piece: string) => (said += piece));
  const ended = once(child, "close").then(([code]) => code as number | null);
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return { child, said: () => said, ended };
}

/** Says why it could not be installed, where that is nobody's fault here. */
function install(): string | false {
  const packed = run(`npm pack --silent --pack-destination '${folder}'`, root);
  assert.equal(packed.status, 0, packed.output);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const { status, output } = run("npm install --prefer-offline --no-audit --no-fund --fetch-retries=1 ./holdfast-*.tgz", folder);
  const unreachable = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT|ENOTCACHED/.exec(output)?.[0];
  if (status !== 0 && unreachable !== undefined) return `npm's registry is not to be reached from here (${unreachable})`;
  assert.equal(status, 0, output);
  writeFirstSkill(folder);
  return false;
}

const skip = install();
after(() => rmSync(folder, { recursive: true, force: true }));

test("everything that its package.json names is there, and no map without its sources", { skip }, () => {
  const { bin, exports, files } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
    bin: Record<string, string>;
    exports: Record<string, string | Record<string, string>>;
    files: string[];
  };
  const named = [...Object.values(bin), ...files, ...Object.values(exports).flatMap((target) => (typeof target === "string" ? target : Object.values(target)))];
  assert.deepEqual(
    named.filter((path) => !existsSync(join(installed, path))),
    [],
  );
  assert.deepEqual(globSync("**/*.map", { cwd: join(installed, "dist") }), []);
  const maps = globSync("**/*.js", { cwd: join(installed, "dist") }).filter((file) =>
    /^\/\/# sourceMappingURL=/m.test(readFileSync(join(installed, "dist", file), "utf8")),
  );
  assert.deepEqual(maps, []);
  assert.deepEqual(readdirSync(installed).sort(), ["LICENSE", "README.md", "dist", "handlers", "llms.txt", "package.json"]);
});

test("it brings nothing that only a trial needs, and dev says what to install", { skip }, () => {
  assert.deepEqual(
    packagesOfTrials.filter((name) => existsSync(join(folder, "node_modules", name))),
    [],
  );
  const { status, output } = run("holdfast dev", folder);
  assert.equal(status, 2, output);
  assert.match(
    output,
    /"code":"HOLDFAST_CONFIGURATION",.*"msg":"dev: expected packages that only this command needs, found no .*; run `npm install --save-dev .*'log-update@\^\d[^']*'/,
  );
});

test("the README's first skill type-checks against the types that are packed, down to the libraries'", { skip }, () => {
  const compilerOptions = {
    target: "es2024",
    lib: ["es2024", "dom"],
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    types: ["node"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["plugins", "holdfast.config.ts"] }));
  const { status, output } = run(`${join(root, "node_modules/.bin/tsc")} --listFiles`, folder);
  assert.equal(
    status,
    0,
    output
      .split("\n")
      .filter((line) => line.includes("error"))
      .join("\n"),
  );
  assert.match(output, /holdfast\/dist\/runtime\/index\.d\.ts$/m);
});

test("skills lists the first skill, and finds holdfast and zod from a folder that has no packages at all", { skip }, (t) => {
  const elsewhere = mkdtempSync(join(tmpdir(), "holdfast-elsewhere-"));
  t.after(() => rmSync(elsewhere, { recursive: true, force: true }));
  writeFirstSkill(elsewhere);
  for (const place of [folder, elsewhere]) {
    const { status, output } = run("holdfast skills", place);
    assert.equal(status, 0, output);
    assert.match(output, /greeter +│ CustomerSignedUp 1\.x +│ mailer/);
  }
});

test("the test of the first skill passes under Node's own runner, with the packed test kit", { skip }, () => {
  const { status, output } = run("node --test --test-reporter=spec plugins/greeter/greeter.test.ts", folder, { NODE_TEST_CONTEXT: undefined });
  assert.equal(status, 0, output);
  assert.match(output, /^ℹ pass 3$/m);
});

test("a worker, a producer and a broker live in a program of the package's, down to a plugin that it hands over", { skip }, () => {
  writeFileSync(join(folder, "orders.ts"), readmeBlock("`orders.ts`:", "ts"));
  writeFileSync(join(folder, "orders.test.ts"), readmeBlock("testWorker({", "ts"));
  const { status, output } = run("node --test --test-reporter=spec orders.test.ts", folder, { NODE_TEST_CONTEXT: undefined });
  assert.equal(status, 0, output);
  const names =
    "import { startBroker } from 'holdfast/broker'; import { createProducer, createWorker } from 'holdfast'; console.log([startBroker, createProducer, createWorker].every((one) => typeof one === 'function'))";
  assert.equal(run(`node --input-type=module --eval "${names}"`, folder).output, "true\n");
});

/** The README's test with a whole worker, as either runner has it. */
function writeWholeWorkerTest(place: string, runner: string): void {
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, "orders.ts"), readmeBlock("`orders.ts`:", "ts"));
  const text = readmeBlock("testWorker({", "ts");
  const own = text
    .replace('{ test } from "node:test"', '{ onTestFinished, test } from "vitest"')
    .replace("async (t) =>", "async () =>")
    .replace("t.after(", "onTestFinished(");
  writeFileSync(join(place, "orders.test.ts"), runner === "vitest" ? own : text);
}

for (const runner of ["node", "vitest"]) {
  longTest(`a project that init makes has green tests, with ${runner}, and so has it with a skill more`, async () => {
    assert.equal(skip, false, "expected the package to be installed");
    const name = `shop-${runner}`;
    for (const line of [`holdfast init ${name} --test ${runner}`, `cd ${name} && npm test`]) {
      const { status, output } = run(line, folder, { NODE_TEST_CONTEXT: undefined });
      assert.equal(status, 0, `${line}\n${output}`);
    }
    writeWholeWorkerTest(join(folder, name, "plugins", "orders"), runner);
    const more = run(
      "holdfast new skill refund --event RefundRequested && holdfast new skill billing --event BillDue --dependency ledger && npm test",
      join(folder, name),
      {
        NODE_TEST_CONTEXT: undefined,
      },
    );
    assert.equal(more.status, 0, more.output);
    assert.match(stripVTControlCharacters(more.output), runner === "node" ? /^ℹ pass 9$/m : /Tests +9 passed/);
  });
}

longTest("the test kit runs under Jest, a whole worker too", async () => {
  assert.equal(skip, false, "expected the package to be installed");
  const place = join(folder, "jest");
  mkdirSync(place);
  writeFileSync(join(place, "package.json"), JSON.stringify({ private: true, type: "module" }));
  writeFileSync(
    join(place, "shop.js"),
    `import { definePlugin, defineDependency, defineSkill } from "holdfast";
export const bank = defineDependency({ name: "bank", request: async (request) => ({ receipt: request.amount }) });
export const pay = defineSkill({ name: "pay", handles: [{ eventType: "BillDue" }], uses: [bank], run: async (context) => {
  const { receipt } = await context.step("pay", (step) => step.call(bank, { amount: context.event.payload.amount }));
  context.emit("BillPaid", { receipt });
} });
export default definePlugin({ module: import.meta.url, name: "shop", skills: [pay], dependencies: [bank] });`,
  );
  writeFileSync(
    join(place, "shop.test.js"),
    `import { stub, testSkill, testWorker } from "holdfast/testing";
import plugin, { bank, pay } from "./shop.js";
test("pays, every way", async () => {
  const options = { event: { payload: { amount: 3 } }, dependencies: [stub(bank, { receipt: 7 })] };
  expect((await testSkill(pay, options)).emitted[0].payload).toEqual({ receipt: 7 });
  expect((await testSkill.everyWay(pay, options)).cases).toBeGreaterThan(20);
});
test("pays in a whole worker", async () => {
  const bench = await testWorker({ plugins: [plugin] });
  try {
    expect((await bench.settled(await bench.send("BillDue", { payload: { amount: 3 } }))).outcome).toBe("completed");
  } finally {
    await bench.stop();
  }
});`,
  );
  const made = run("npm install --prefer-offline --no-audit --no-fund ../holdfast-*.tgz jest@30", place);
  assert.equal(made.status, 0, made.output);
  const { status, output } = run("npx jest", place, { NODE_OPTIONS: "--experimental-vm-modules", NODE_TEST_CONTEXT: undefined });
  assert.equal(status, 0, output);
  assert.match(stripVTControlCharacters(output), /Tests: +2 passed/);
});

for (const [runner, install, command, entry, variables] of [
  ["vitest", "vitest@5", "npx vitest run", "index.ts", {}],
  ["jest", "jest@30", "npx jest", "index.js", { NODE_OPTIONS: "--experimental-vm-modules" }],
] as const)
  longTest(`a test that debug writes fails under ${runner} until the skill is mended`, async (t) => {
    assert.equal(skip, false, "expected the package to be installed");
    const place = join(folder, `debug-${runner}`);
    mkdirSync(place);
    writeFileSync(join(place, "package.json"), JSON.stringify({ private: true, type: "module" }));
    const made = run(`npm install --save-dev --prefer-offline --no-audit --no-fund ../holdfast-*.tgz ${install}`, place);
    assert.equal(made.status, 0, made.output);
    const payload = { order: "o-1", amount: 12, card: { holder: "Ada Lovelace", number: "4111111111111111" } };
    const { config, asked } = await debugScene(t, payload, { project: place, entry });
    const before = [...asked];
    // What answers calls must go on answering, so that one that is made is seen.
    const debugged = await new Promise<Ended>((ended) => {
      const child = spawn("sh", ["-c", `exec npx holdfast debug order-1 -c '${config}' --to-test`], { cwd: place, env, stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (piece: string) => (output += piece));
      child.on("close", (status) => ended({ status, output }));
    });
    assert.equal(debugged.status, 0, debugged.output);
    assert.match(debugged.output, /^same failure, same line$/m);
    const plugin = join(place, "plugins/charge");
    const text = readFileSync(join(plugin, `order-1.test.${entry.slice(-2)}`), "utf8");
    assert.match(text, runner === "vitest" ? /from "vitest"/ : /from "@jest\/globals"/);
    const failing = run(command, place, { ...variables, NODE_TEST_CONTEXT: undefined });
    assert.notEqual(failing.status, 0, failing.output);
    assert.match(failing.output, /Cannot read properties of undefined \(reading 'id'\)/);
    writeFileSync(join(plugin, entry), installedSource.replace("return body.receipt.id;", "return body.receipt?.id ?? null;"));
    const passing = run(command, place, { ...variables, NODE_TEST_CONTEXT: undefined });
    assert.equal(passing.status, 0, passing.output);
    assert.match(stripVTControlCharacters(passing.output), /Tests +1 passed|Tests: +1 passed/);
    assert.deepEqual(asked, before);
  });

test("a project that init makes has tests that pass, and its configuration lists every skill that new makes", { skip }, () => {
  const { status, output } = run("holdfast init shop --no-install && cd shop && holdfast new skill refund --event RefundRequested && holdfast skills", folder);
  assert.equal(status, 0, output);
  assert.match(output, /2 skills from/);
  const tried = run("node --test 'plugins/**/*.test.ts'", join(folder, "shop"), { NODE_TEST_CONTEXT: undefined });
  assert.equal(tried.status, 0, tried.output);
  assert.match(tried.output, /^ℹ pass 5$/m);
  const again = run("holdfast init shop", folder);
  assert.deepEqual([again.status, /expected .*shop to hold nothing that is made now, found package\.json, /.test(again.output)], [2, true], again.output);
  for (const [line, expected] of [
    ["holdfast new skill Refund --event X", /new skill: expected words of a-z 0-9 joined by '-'/],
    ["holdfast new skill other --event refund", /--event: expected a type such as 'RefundRequested', got "refund"/],
    ["holdfast new skill other", /--event <type>/],
  ] as const) {
    const refused = run(line, join(folder, "shop"));
    assert.equal(refused.status, 2, refused.output);
    assert.match(refused.output, expected);
  }
});

test("what a plugin throws while it is imported is placed in its file, also where it has no stack", { skip }, (t) => {
  const place = mkdtempSync(join(folder, "throws-"));
  t.after(() => rmSync(place, { recursive: true, force: true }));
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "throws", version: "1.0.0", entry: "./index.mjs", skills: ["none"], dependencies: [] }),
  );
  writeFileSync(join(place, "index.mjs"), 'import "holdfast";\nthrow "a text";\n');
  const config = join(place, "config.json");
  const serviceBus = { fullyQualifiedNamespace: "none.servicebus.windows.net" };
  writeFileSync(
    config,
    JSON.stringify({ sources: [{ queue: "none" }], serviceBus, store: { kind: "sqlite", path: "runs.sqlite" }, plugins: [place], pluginRoots: [folder] }),
  );
  const { status, output } = run(`holdfast skills -c '${config}'`, folder);
  assert.equal(status, 2, output);
  assert.match(output, /it threw: a text \(index\.mjs:2:1\)/);
});

test("dev runs a plugin until Ctrl-C", { skip }, async (t) => {
  const dev = start(t, "holdfast dev --plugin plugins/greeter --no-open");
  await eventually("the page to be up", () => dev.said().includes("live page http"), 30_000).catch((error: unknown) =>
    assert.fail(`${String(error)}\n${dev.said()}`),
  );
  dev.child.kill("SIGINT");
  assert.equal(await dev.ended, 0, dev.said());
});

test("the README's commands run the first skill: broker, start, send, inspect", { skip }, async (t) => {
  const mailer = await startMailer();
  t.after(() => mailer.stop());
  const broker = start(t, `${readmeCommand("holdfast broker --queue customers")} --port 0`);
  await eventually("the broker to be up", () => broker.said().includes("control: "), 30_000);
  const connectionString = broker.said().split("\n")[0] ?? "";
  const config = { HOLDFAST_CONFIG: writeLocalConfig(folder, { connectionString, mailerUrl: mailer.url, store: { kind: "sqlite", path: "runs.sqlite" } }) };
  const worker = start(t, readmeCommand("holdfast start"), config);
  const sent = run(readmeCommand("holdfast send --event-type"), folder, config);
  assert.equal(sent.status, 0, sent.output);
  const control = /control: (http:\/\/[^/]+)/.exec(broker.said())?.[1] ?? "";
  const account = async (): Promise<QueueInspection> => askControl(control, "GET", "/inspect/customers");
  await eventually("the event to be completed", async () => (await account()).totals.completed === 1, 30_000).catch((error: unknown) =>
    assert.fail(`${String(error)}\n${worker.said()}`),
  );
  assert.deepEqual(mailer.received, [{ to: "ada@example.com", text: "Welcome, Ada!" }]);
  const certificate = await fetch(`${control}/certificate`);
  assert.match(await certificate.text(), /BEGIN CERTIFICATE/);
  for (const { child, ended, said } of [worker, broker]) {
    child.kill("SIGTERM");
    assert.equal(await ended, 0, said());
  }
});

test("without the optional packages, as in the image, the broker runs and says what it cannot do", { skip }, async (t) => {
  renameSync(join(folder, "node_modules", "selfsigned"), join(folder, "selfsigned"));
  t.after(() => renameSync(join(folder, "selfsigned"), join(folder, "node_modules", "selfsigned")));
  const broker = start(t, "holdfast broker --port 0 --queue customers");
  await eventually("the broker to be up", () => broker.said().includes("control: "), 30_000);
  const control = /control: (http:\/\/[^/]+)/.exec(broker.said())?.[1] ?? "";
  const refused = await (await fetch(`${control}/certificate`)).text();
  assert.match(refused, /expected the package selfsigned.*install it, or give --tls-cert and --tls-key/);
  broker.child.kill("SIGTERM");
  assert.equal(await broker.ended, 0, broker.said());
});
