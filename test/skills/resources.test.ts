// Resources: made once in a thread, shared by its runs, told apart from a skill's failure, closed in reverse.
import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import { type Resource, type SkillContext, defineDependency, defineResource, defineSkill } from "#runtime/index.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { Resources } from "#runtime/skills/host/resources.ts";
import { ThreadSettingsTable } from "#runtime/skills/host/settings.ts";
import { type HostBundle, makeHost } from "./host.ts";

const skillOf = (run: (context: SkillContext) => Promise<unknown>, uses: Parameters<typeof defineSkill>[0]["uses"] = []) =>
  defineSkill({ name: "user", handles: [{ eventType: "ArtifactUploaded", versions: "1.x" }], uses, run: async (context) => void (await run(context)) });

const hostOf = (t: TestContext, run: (context: SkillContext) => Promise<unknown>): Promise<HostBundle> => makeHost(t, [skillOf(run)]);

test("is made when it is first asked for, once for all runs of the thread, and closed in reverse", async (t) => {
  const said: string[] = [];
  const make = (name: string): Resource<string> =>
    defineResource({ name, open: () => (said.push(`open ${name}`), `value of ${name}`), close: (value) => void said.push(`close ${value}`) });
  const [pool, client] = [make("pool"), make("client")];
  const seen: string[] = [];
  const bundle = await hostOf(t, async (context) => {
    seen.push(await context.use(pool));
    await context.step("second", async (step) => void seen.push(await step.use(client)));
  });
  assert.deepEqual(said, []);
  await Promise.all([bundle.run(), bundle.run()]);
  assert.deepEqual(seen.toSorted(), ["value of client", "value of client", "value of pool", "value of pool"]);
  await bundle.host.resources.close();
  assert.deepEqual(said, ["open pool", "open client", "close value of client", "close value of pool"]);
  const { answer } = await bundle.run();
  assert.ok(answer.kind === "failed");
  assert.deepEqual([answer.failure.code, answer.retryable], ["RESOURCE_UNAVAILABLE", true]);
});

test("that cannot be made fails the run as something that may pass, and is tried again by the next", async (t) => {
  let tries = 0;
  const pool = defineResource({
    name: "pool",
    open() {
      tries += 1;
      if (tries === 1) throw new RangeError("no database yet");
      return tries;
    },
  });
  const seen: number[] = [];
  const bundle = await hostOf(t, async (context) => seen.push(await context.use(pool)));
  const { answer } = await bundle.run();
  assert.ok(answer.kind === "failed");
  assert.deepEqual([answer.failure.code, answer.retryable], ["RESOURCE_UNAVAILABLE", true]);
  assert.match(answer.failure.message, /resource 'pool': expected it to open, found: .*no database yet/);
  assert.equal((await bundle.run()).answer.kind, "completed");
  assert.deepEqual(seen, [2]);
});

test("that takes too long to open is given up, and closed when it comes after all", async (t) => {
  const opening = Promise.withResolvers<string>();
  const closed = Promise.withResolvers<string>();
  const slow = defineResource({ name: "slow", open: () => opening.promise, close: closed.resolve, openTimeoutMs: 5 });
  const bundle = await hostOf(t, (context) => context.use(slow));
  const { answer } = await bundle.run();
  assert.ok(answer.kind === "failed");
  assert.match(answer.failure.message, /it took longer than 5 ms/);
  opening.resolve("late");
  assert.equal(await closed.promise, "late");
});

test("that does not close in its time, or throws, keeps no other one open, and is reported", async (t) => {
  const said: string[] = [];
  const warnings: string[] = [];
  const stuck = defineResource({ name: "stuck", open: () => 1, close: () => new Promise(() => undefined), closeTimeoutMs: 5 });
  const broken = defineResource({
    name: "broken",
    open: () => 2,
    close() {
      throw new Error("lost");
    },
  });
  const sound = defineResource({ name: "sound", open: () => 3, close: () => void said.push("closed") });
  const bundle = await makeHost(
    t,
    [skillOf(async (context) => [await context.use(sound), await context.use(broken), await context.use(stuck)])],
    undefined,
    undefined,
    {
      warn: (text) => void warnings.push(text),
    },
  );
  await bundle.run();
  await bundle.host.resources.close();
  assert.deepEqual(said, ["closed"]);
  assert.deepEqual(warnings, [
    "resource 'stuck': expected it to close, found: it took longer than 5 ms",
    "resource 'broken': expected it to close, found: lost",
  ]);
});

test("that is still being opened keeps none from being closed, and is closed when it is there", async (t) => {
  const opening = Promise.withResolvers<string>();
  const said: string[] = [];
  const closed = Promise.withResolvers<void>();
  const sound = defineResource({ name: "sound", open: () => "sound", close: (value) => void said.push(value) });
  const slow = defineResource({ name: "slow", open: () => opening.promise, close: (value) => (said.push(value), closed.resolve()) });
  const asked = Promise.withResolvers<void>();
  const bundle = await hostOf(t, async (context) => {
    await context.use(sound);
    const value = context.use(slow);
    asked.resolve();
    await value;
  });
  const { answered } = bundle.begin();
  await asked.promise;
  await bundle.host.resources.close();
  assert.deepEqual(said, ["sound"]);
  opening.resolve("slow");
  await closed.promise;
  assert.deepEqual(said, ["sound", "slow"]);
  await answered;
});

test("that is opened at the start of one declared before it is no stranger", async () => {
  const warnings: string[] = [];
  const resources = new Resources({ clock: systemClock, settings: new ThreadSettingsTable().read, warn: (text) => void warnings.push(text) });
  const inner = defineResource({ name: "inner", openAt: "start", open: () => 1 });
  const outer = defineResource({ name: "outer", openAt: "start", open: ({ use }) => use(inner) });
  await resources.openAtStart([outer, inner]);
  assert.deepEqual(warnings, []);
  await resources.close();
});

test("request functions get it too", async (t) => {
  const client = defineResource({ name: "client", open: () => ({ ask: (what: string) => `answer to ${what}` }) });
  const oracle = defineDependency({ name: "oracle", request: async (request: string, { use }) => (await use(client)).ask(request) });
  const seen: string[] = [];
  const bundle = await makeHost(t, [skillOf(async (context) => seen.push(await context.call(oracle, "all")), [oracle])]);
  assert.equal((await bundle.run()).answer.kind, "completed");
  assert.deepEqual(seen, ["answer to all"]);
});

test("what is none is refused, with what was expected", async (t) => {
  const bundle = await hostOf(t, (context) => context.use({ open: () => 1 } as never));
  const { answer } = await bundle.run();
  assert.ok(answer.kind === "failed" && answer.retryable === false);
  assert.match(answer.failure.message, /use: expected a resource made by defineResource/);
  for (const [options, expected] of [
    [{ name: "1", open: () => 1 }, /resource\.name: expected 1 to 64 characters/],
    [{ name: "a" }, /resource 'a'\.open: expected a function/],
    [{ name: "a", open: () => 1, openTimeoutMs: 0 }, /openTimeoutMs: expected a whole number from 1 to 600000/],
    [{ name: "a", open: () => 1, at: "start" }, /expected only the keys name, open, openAt, close/],
  ] as const)
    assert.throws(() => defineResource(options as never), expected);
});
