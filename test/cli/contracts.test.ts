// `holdfast contracts` as a project's CI runs it.
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openBase } from "#runtime/cli/contracts-base.ts";
import { folderOfTest, objectOf, writeFilesTo } from "../support/contract-files.ts";
import { runCommand } from "../support/holdfast-command.ts";

const text = { type: "string" };

function git(folder: string, ...args: readonly string[]): void {
  execFileSync("git", ["-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", ...args], { stdio: "pipe" });
}

test("contracts check compares with the last tag, HEAD, a ref or a folder, and fails on what breaks somebody", async (t) => {
  const folder = folderOfTest(t, { "contracts/OrderPlaced/1.0.json": objectOf({ id: text }), "contracts/Ünïcode.md": "é" });
  git(folder, "init", "-q");
  git(folder, "add", "-A");
  git(folder, "commit", "-qm", "one");
  const check = (...more: string[]) => runCommand(["contracts", "check", "--folder", "contracts", ...more], undefined, folder);
  writeFilesTo(folder, { "contracts/OrderPlaced/1.1.json": objectOf({ id: text, note: text }) });
  const good = await check();
  assert.equal(good.code, 0, good.stderr);
  assert.match(
    good.stdout,
    /compatible {2}OrderPlaced 1\.1 \/note: was added, optional \(OrderPlaced\/1\.1\.json\)[^]*1 event type of contracts, compared with HEAD: 0 breaking, 0 warnings, 1 compatible\n$/,
  );
  git(folder, "add", "-A");
  git(folder, "commit", "-qm", "two");
  git(folder, "tag", "v1.1");
  rmSync(join(folder, "contracts/OrderPlaced/1.0.json"));
  writeFilesTo(folder, { "contracts/OrderPlaced/1.0.ts": "export default { type: 'object', properties: { id: { type: 'number' } }, required: [] };" });
  const [bad, former, same, unknown] = await Promise.all([
    check("--json"),
    check("--against", "v1.1~1", "--json"),
    check("--against", "contracts"),
    check("--against", "nowhere"),
  ]);
  const { against, ok, judgements } = JSON.parse(bad.stdout) as {
    against: string;
    ok: boolean;
    judgements: readonly { level: string; path: string; version: string }[];
  };
  assert.deepEqual([bad.code, against, ok], [1, "v1.1", false]);
  assert.deepEqual(
    judgements.map(({ level, version, path }) => `${level} ${version} ${path}`),
    ["breaking 1.0 /id"],
  );
  assert.deepEqual(
    (JSON.parse(former.stdout) as { judgements: readonly { version: string; level: string }[] }).judgements.map(({ level, version }) => `${level} ${version}`),
    ["breaking 1.0", "breaking 1.1", "compatible 1.1"],
  );
  assert.equal(same.code, 0, same.stdout);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /--against: expected a folder, or a commit, tag or branch of the repository around .*, got 'nowhere'/);
  assert.deepEqual(existsSync(join(folder, ".holdfast")) ? readdirSync(join(folder, ".holdfast")) : [], []);
});

test("contracts check of what has been committed compares with the tag or the commit before, and leaves nothing behind", async (t) => {
  const folder = folderOfTest(t, { "contracts/OrderPlaced/1.0.json": objectOf({ id: text }) });
  const commit = (what: string, ...files: unknown[]): void => {
    for (const content of files) writeFilesTo(folder, { "contracts/OrderPlaced/1.0.json": content });
    git(folder, "add", "-A");
    git(folder, "commit", "-qm", what);
  };
  const check = async (): Promise<readonly [number | null, string | undefined]> => {
    const { code, stdout } = await runCommand(["contracts", "check", "--folder", "contracts"], undefined, folder);
    return [code, /compared with ([^:]*)/.exec(stdout)?.[1]];
  };
  git(folder, "init", "-q");
  commit("one");
  assert.deepEqual(await check(), [0, "nothing"]);
  commit("two", objectOf({ id: { type: "number" } }));
  assert.deepEqual(await check(), [1, "HEAD^"]);
  git(folder, "tag", "v2");
  assert.deepEqual(await check(), [1, "HEAD^"]);
  git(folder, "tag", "v1", "HEAD^");
  assert.deepEqual(await check(), [1, "v1"]);
  assert.equal(existsSync(join(folder, ".holdfast")), false);
});

test("contracts check takes folder and skills from the configuration, and says what is missing there", async (t) => {
  const plugin = { name: "shop", version: "1.0.0", entry: "./index.mjs", skills: ["ship"], dependencies: [] };
  const entry = `import { definePlugin, defineSkill } from ${JSON.stringify(join(import.meta.dirname, "../../runtime/index.ts"))};
export default definePlugin({ skills: [defineSkill({ name: "ship", handles: [{ eventType: "OrderPlaced" }], emits: [{ eventType: "OrderShipped" }], run() {} })] });`;
  const config = { sources: [{ queue: "orders" }], serviceBus: { connectionString: { env: "NOT_READ_HERE" } }, plugins: ["./shop"] };
  const folder = folderOfTest(t, {
    "holdfast.config.json": { ...config, contracts: "./events" },
    "bare.json": config,
    "shop/holdfast.plugin.json": plugin,
    "shop/index.mjs": entry,
    "events/OrderPlaced/1.0.json": objectOf({ id: text }),
    "events/OrderPlaced/examples/1.0.json": { id: "a" },
  });
  const [checked, bare] = await Promise.all([
    runCommand(["contracts", "check"], undefined, folder),
    runCommand(["contracts", "check", "-c", "bare.json"], undefined, folder),
  ]);
  assert.equal(checked.code, 0, checked.stderr);
  assert.match(checked.stdout, /OrderPlaced +│ 1\.0 +│ ship 1\.x +│ – /);
  assert.match(checked.stdout, /warning {5}OrderShipped 1\.0: skill 'ship' of plugin 'shop' emits it, and it has no contract; add OrderShipped\/1\.0\.json/);
  assert.match(checked.stdout, /1 event type of events, compared with nothing: there is no commit to compare with: 0 breaking, 2 warnings, 1 compatible\n$/);
  assert.equal(bare.code, 2);
  assert.match(
    bare.stderr,
    /contracts: expected .*bare\.json to name the folder of the contracts, found nothing; set contracts: "\.\/contracts", or name a folder with --folder/,
  );
});

test("contracts types and docs write what the contracts say, and fail a check where the file is another", async (t) => {
  const folder = folderOfTest(t, { "events/OrderPlaced/1.0.json": objectOf({ id: text }) });
  const run = (...args: string[]) => runCommand(["contracts", ...args, "--folder", "events"], undefined, folder);
  const missing = await run("types", "--check");
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /events\.d\.ts: expected what the contracts say now, found no file; run 'holdfast contracts types' and commit it/);
  const written = await Promise.all([run("types"), run("docs"), run("docs", "--format", "asyncapi")]);
  assert.deepEqual(
    written.map(({ code }) => code),
    [0, 0, 0],
  );
  assert.deepEqual(readdirSync(join(folder, "events")), ["EVENTS.md", "OrderPlaced", "asyncapi.json", "events.d.ts"]);
  const [fresh, shown] = await Promise.all([run("types", "--check"), run("docs", "--format", "asyncapi", "--out", "-")]);
  assert.deepEqual([fresh.code, (JSON.parse(shown.stdout) as { asyncapi: string }).asyncapi], [0, "3.0.0"]);
  writeFilesTo(folder, { "events/OrderPlaced/1.1.json": objectOf({ id: text, note: text }) });
  assert.equal((await run("types", "--check")).code, 1);
});

test("contracts check fails where git refuses the repository, and says so where there is no git", async (t) => {
  const folder = folderOfTest(t, { "contracts/OrderPlaced/1.0.json": objectOf({ id: text }) });
  git(folder, "init", "-q");
  git(folder, "add", "-A");
  git(folder, "commit", "-qm", "one");
  const base = (against?: string) => openBase(join(folder, "contracts"), against);
  t.after(() => Object.assign(process.env, { PATH: path }));
  const path = process.env["PATH"];
  process.env["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1";
  try {
    await assert.rejects(base(), {
      name: "ConfigurationError",
      message: /--against: expected .* that git reads, got '' where git said: fatal: .*(?:dubious|unsafe)/,
    });
  } finally {
    delete process.env["GIT_TEST_ASSUME_DIFFERENT_OWNER"];
  }
  assert.equal((await base("HEAD")).named, "HEAD");
  writeFilesTo(folder, { ".holdfast": "" });
  await assert.rejects(base("HEAD"), {
    name: "ConfigurationError",
    message: /^expected a folder at .+\.holdfast in which the contracts of before can be written for a while, found EEXIST.+; mend that, or name a folder/,
  });
  process.env["PATH"] = folder;
  assert.deepEqual(await base(), { registry: undefined, named: "nothing: git is not installed" });
  await assert.rejects(base("HEAD"), { message: /got 'HEAD' where git said: spawnSync git ENOENT/ });
});
