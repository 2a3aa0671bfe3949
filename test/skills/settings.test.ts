// What a plugin is told: by schema, from the configuration, typed, with secrets that stay secret.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { composeSkills } from "#runtime/compose/skills.ts";
import { openSecrets } from "#runtime/compose/secrets.ts";
import { parseConfig } from "#runtime/core/config.ts";
import { readEnvironment } from "#runtime/core/config/environment.ts";
import { jsonSchemaOf } from "#runtime/core/config/json-schema.ts";
import { configSchema } from "#runtime/core/config.ts";
import { redact } from "#runtime/core/redact.ts";
import { Secret } from "#runtime/core/secret.ts";
import { compileSettings, isSecretAt, readSettings, whyNot } from "#runtime/skills/host/settings.ts";
import { ConfigurationError, defineResource, defineSettings, defineSkill, type SkillContext } from "#runtime/index.ts";
import { provide, testSkill, testWorker } from "#runtime/testing/index.ts";
import { eventually, within } from "../support/eventually.ts";
import { runCommand } from "../support/holdfast-command.ts";
import plugin, { till, told } from "../support/told-plugin.ts";
import { makeHost } from "./host.ts";

const password = "correct horse 8";
const longer = "battery staple 10";

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-settings-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

const input = (settings: unknown): unknown => ({
  sources: [{ queue: "input" }],
  serviceBus: { connectionString: "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=b" },
  plugins: [plugin],
  settings,
});

const composed = async (settings: unknown, directory = "."): Promise<unknown> => {
  const config = parseConfig(input(settings), "test");
  await openSecrets(config, directory);
  return (await composeSkills(config, directory)).settings.get("told")?.values;
};

test("a worker's skills, steps, request functions and resources read them, a secret that is replaced is seen by the next, and none gets out", async (t) => {
  const folder = folderFor(t);
  writeFileSync(join(folder, "password"), `${password}\n`);
  const bench = await testWorker({ plugins: [plugin], directory: folder, settings: { told: { itemsMax: 3, password: { file: "password" } } } });
  t.after(() => bench.stop());
  const emitted = (): readonly unknown[] =>
    (bench.broker.inspectMessages("emitted", { bodies: true })?.messages ?? []).map(
      ({ body }) => (JSON.parse(body?.value ?? "{}") as { payload?: unknown }).payload,
    );
  assert.equal((await bench.settled(await bench.send("Asked"))).outcome, "completed");
  const expected = {
    currency: "EUR",
    itemsMax: 3,
    mail: { from: "shop@example.com" },
    passwordCharacters: password.length,
    echoed: `EUR 3 ${password.length}`,
  };
  assert.deepEqual(emitted(), [expected]);
  const replaced = new Promise((resolve) => bench.worker.on("secret.changed", resolve));
  writeFileSync(join(folder, "password"), longer);
  await within("the secret to be replaced", replaced);
  await eventually("a run to see it", async () => {
    await bench.settled(await bench.send("Asked"));
    return (emitted().at(-1) as typeof expected).passwordCharacters === longer.length;
  });
  // What was made of the one before stays.
  assert.equal((emitted().at(-1) as typeof expected).echoed, `EUR 3 ${password.length}`);
  const refused = new Promise((resolve) => bench.worker.on("secret.changed", resolve));
  writeFileSync(join(folder, "password"), "short");
  const { state, error } = (await within("the secret to be refused", refused)) as { state: string; error: string };
  assert.equal(state, "refused");
  assert.match(error, /settings\.told\.password: expected string to have >=8 characters, found text of 5 characters/);
  await bench.settled(await bench.send("Betrayed"));
  assert.match(bench.deadLetters()[0]?.description ?? "", /no log-in with \[redacted\]/);
  await bench.stop();
  const log = bench.log.join("");
  assert.match(log, /the password is \[redacted\]/);
  for (const secret of [password, longer]) assert.ok(!log.includes(secret));
});

test("what is wrong is named with key, what was expected, what was found and what to do", async () => {
  const wrong = (settings: unknown, ...expected: RegExp[]): Promise<void> =>
    assert.rejects(composed(settings), (error: unknown) => {
      assert.ok(error instanceof ConfigurationError);
      for (const one of expected) assert.match(error.message, one);
      assert.ok(!error.message.includes("hush"));
      return true;
    });
  await wrong(
    { told: { currency: "GBP", password: "hush" } },
    /settings\.told\.currency: .*"EUR"\|"USD", found "GBP"; set it in the configuration or as HOLDFAST_SETTINGS__TOLD__CURRENCY/,
    /settings\.told\.itemsMax: expected number, found nothing; set it in the configuration or as HOLDFAST_SETTINGS__TOLD__ITEMS_MAX/,
    /settings\.told\.password: .*>=8 characters, found text of 4 characters/,
  );
  await wrong(undefined, /settings\.told\.itemsMax: .*found nothing/, /settings\.told\.password: .*found nothing/);
  await wrong(
    { told: { itemsMax: 1, password, colour: "hush" } },
    /settings\.told: Unrecognized key: "colour", found an object with itemsMax, password, colour/,
  );
  await wrong({ tolled: {} }, /settings\.tolled: expected the name of a listed plugin \(told\), found 'tolled'; did you mean 'told'\?/);
  await wrong({ told: { itemsMax: 1, password: { file: "not-there" } } }, /settings\.told\.password: expected a secret in file not-there/);
  await wrong({ told: { itemsMax: 1, password: { env: "1" } } }, /settings\.told\.password: expected a reference/);
});

test("texts of variables and of secrets are numbers, truth values and lists where the schema wants them, and texts where it wants those", async () => {
  const values = await composed({ told: { itemsMax: "7", password: "12345678", mail: '{"from":"a@example.com"}' } });
  assert.deepEqual(values, { currency: "EUR", itemsMax: 7, password: "12345678", mail: { from: "a@example.com" } });
  process.env["HOLDFAST_TEST_ITEMS"] = "9";
  const referred = (await composed({ told: { itemsMax: { env: "HOLDFAST_TEST_ITEMS" }, password } })) as { itemsMax: number };
  assert.equal(referred.itemsMax, 9);
  const { assignments, mistakes } = readEnvironment(
    { HOLDFAST_SETTINGS__TOLD__ITEMS_MAX: "5", HOLDFAST_SETTINGS__TOLD__PASSWORD__FILE: "/run/password", HOLDFAST_SETTINGS__TOLD__MAIL__FROM: "a@example.com" },
    jsonSchemaOf(configSchema),
    { settings: { told: {} } },
  );
  assert.deepEqual(
    [mistakes, assignments.map(({ path, value }) => [path.join("."), value])],
    [
      [],
      [
        ["settings.told.itemsMax", "5"],
        ["settings.told.mail.from", "a@example.com"],
        ["settings.told.password.file", "/run/password"],
      ],
    ],
  );
});

test("a JSON Schema checks them, and fills its defaults in", async () => {
  const shop = defineSettings<{ colour: string; sizes: number[] }>({
    schema: {
      type: "object",
      properties: { colour: { type: "string", default: "red" }, sizes: { type: "array", items: { type: "integer" } } },
      required: ["sizes"],
    },
  });
  const check = await compileSettings("shop", shop);
  assert.deepEqual(await readSettings(check, { sizes: [1] }), { ok: true, values: { colour: "red", sizes: [1] } });
  assert.deepEqual(await readSettings(check, {}), {
    ok: false,
    lines: ["settings.shop.sizes: expected a value, found nothing; set it in the configuration or as HOLDFAST_SETTINGS__SHOP__SIZES"],
  });
  assert.deepEqual(await readSettings(check, { sizes: "[1, 2]" }), { ok: true, values: { colour: "red", sizes: [1, 2] } });
});

test("a secret that is refused is in no reason why, whatever its key is called", async () => {
  const shop = defineSettings({ schema: { type: "object", properties: { dsn: { type: "string", pattern: "^pg-" } } } });
  const dsn = new Secret({ file: "dsn" }, () => undefined);
  const given = { dsn };
  const check = await compileSettings("shop", shop);
  dsn.demand((value) => whyNot(check, given, dsn, value));
  assert.deepEqual(dsn.replace("pg-good-one"), { result: "taken" });
  const refused = dsn.replace("hunter2-super");
  const why = refused.result === "refused" ? refused.why : "";
  assert.match(why, /^settings\.shop\.dsn: must match pattern .*, found text of 13 characters in file dsn; /);
  assert.equal(redact("hunter2-super"), "[redacted]");
});

test("what the names of keys say of secrets is said by the last alone, and a declared one may stand in a list", () => {
  const shop = defineSettings({ schema: { type: "object" }, secrets: ["accounts.pin"] });
  const isSecret = (...path: string[]): boolean => isSecretAt(shop, path, "x");
  assert.deepEqual([isSecret("accounts", "0", "pin"), isSecret("accounts", "0", "name"), isSecret("accounts", "pin")], [true, false, true]);
  assert.deepEqual([isSecret("credential", "user"), isSecret("credential"), isSecret("smtp", "password")], [false, true, true]);
});

test("a mistake names the variable where one leads to the key, and the key that is too much, to be taken out", async () => {
  const shop = defineSettings({
    schema: { type: "object", properties: { "a/b": { type: "integer" }, aURL: { type: "integer" } }, additionalProperties: false },
  });
  const check = await compileSettings("shop", shop);
  const lines = async (given: object): Promise<readonly string[]> => {
    const read = await readSettings(check, given);
    return read.ok ? [] : read.lines;
  };
  assert.deepEqual(await lines({ "a/b": "x" }), ['settings.shop.a/b: expected integer, found "x"; set it in the configuration']);
  assert.deepEqual(await lines({ aURL: "x" }), ['settings.shop.aURL: expected integer, found "x"; set it in the configuration']);
  assert.deepEqual(await lines({ colour: "x" }), [
    "settings.shop: expected no key 'colour', which the schema does not know, found an object with colour; take 'colour' out",
  ]);
  const broken = { $id: "https://shop.example/broken", $ref: "#/$defs/none" };
  await assert.rejects(compileSettings("shop", defineSettings({ schema: broken })), /expected a JSON Schema that compiles/);
  await compileSettings("shop", defineSettings({ schema: { $id: broken.$id, type: "object" } }));
});

test("what is none of the plugin's fails the run, and what cannot be settings is refused", async (t) => {
  const stranger = defineSettings({ schema: { type: "object" } });
  const skill = defineSkill({ name: "user", handles: [{ eventType: "ArtifactUploaded" }], run: (context: SkillContext) => context.settings(stranger) });
  const bundle = await makeHost(t, [skill]);
  const { answer } = await bundle.run();
  assert.ok(answer.kind === "failed" && answer.retryable === false);
  assert.deepEqual([answer.failure.code, /declares/.test(answer.failure.message)], ["SETTINGS_UNKNOWN", true]);
  assert.throws(() => defineSettings({} as never), /settings\.schema: expected a Standard Schema validator or a JSON Schema object/);
  assert.throws(() => defineSettings({ schema: {}, secrets: [""] }), /settings\.secrets: expected a list of keys/);
});

test("in a test of a skill they are given, checked, and resources are stood in for, or opened and closed again", async () => {
  const closed: string[] = [];
  const real = defineResource({ name: "real", open: () => "real", close: (value) => void closed.push(value) });
  const skill = defineSkill({
    name: "shopper",
    handles: [{ eventType: "Asked" }],
    async run(context) {
      const { currency, itemsMax } = context.settings(told);
      context.emit("Told", { currency, itemsMax, till: (await context.use(till)).openedWith, real: await context.use(real) });
    },
  });
  const settings = provide(told, { itemsMax: "4", password });
  const resources = [provide(till, { openedWith: 42 })];
  const { emitted, outcome } = await testSkill(skill, { settings, resources });
  assert.deepEqual([outcome, emitted.map(({ payload }) => payload)], ["completed", [{ currency: "EUR", itemsMax: 4, till: 42, real: "real" }]]);
  assert.deepEqual(closed, ["real"]);
  await testSkill.everyWay(skill, { settings, resources });
  assert.ok(closed.length > 1);
  await assert.rejects(
    testSkill(skill, { settings: provide(told, {}) }),
    /testSkill: settings\.itemsMax: expected number, found nothing; mend it in the values given to provide/,
  );
  assert.throws(() => provide({} as never, {}), /provide: expected what defineSettings or defineResource made, got {}/);
});

test("`holdfast config` checks them and shows where each comes from, defaults too, and no secret; `skills` refuses the same", async (t) => {
  const folder = folderFor(t);
  const file = join(folder, "holdfast.config.mjs");
  writeFileSync(
    file,
    `import plugin from ${JSON.stringify(import.meta.resolve("../support/told-plugin.ts"))};
export default { sources: [{ queue: "input" }], serviceBus: { connectionString: "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=b" }, plugins: [plugin],
  settings: { told: { password: "hush-hush-hush", itemsMax: 2 } } };`,
  );
  const env = { ...process.env, HOLDFAST_SETTINGS__TOLD__ITEMS_MAX: "5" };
  const [shown, referred, wrong, skills] = await Promise.all([
    runCommand(["config", "-c", file, "--json", "--set", "settings.told.currency=USD"], env),
    runCommand(["config", "-c", file, "--json"], { ...env, HOLDFAST_SETTINGS__TOLD__PASSWORD__FILE: "/not/there" }),
    runCommand(["config", "-c", file], { ...process.env, HOLDFAST_SETTINGS__TOLD__ITEMS_MAX: "many" }),
    runCommand(["skills", "-c", file], { ...process.env, HOLDFAST_SETTINGS__TOLD__ITEMS_MAX: "many" }),
  ]);
  const valuesOf = ({ stdout, stderr }: { stdout: string; stderr: string }): unknown[] => {
    assert.ok(stdout.startsWith("{"), stderr);
    const { values } = JSON.parse(stdout) as { values: { key: string; value: unknown; from: string }[] };
    return values.flatMap(({ key, value, from }) => (key.startsWith("settings.") ? [[key, value, from]] : []));
  };
  assert.deepEqual(valuesOf(shown), [
    ["settings.told.password", "[redacted]", file],
    ["settings.told.itemsMax", "5", "HOLDFAST_SETTINGS__TOLD__ITEMS_MAX"],
    ["settings.told.currency", "USD", "--set"],
    ["settings.told.mail.from", "shop@example.com", "default"],
  ]);
  assert.deepEqual(valuesOf(referred)[0], ["settings.told.password", "[file /not/there]", "HOLDFAST_SETTINGS__TOLD__PASSWORD__FILE"]);
  for (const { code, stderr } of [wrong, skills]) {
    assert.equal(code, 2, stderr);
    assert.match(stderr, /settings\.told\.itemsMax: expected number, found "many"/);
  }
  assert.ok(![shown, referred, wrong, skills].some(({ stdout, stderr }) => `${stdout}${stderr}`.includes("hush-hush-hush")));
});
