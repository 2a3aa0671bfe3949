import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { environmentOf, findOwnConfig, writeDevConfig } from "#load/dev/dev-config.ts";
import { runPlugins } from "#load/dev/plugins.ts";

function project(t: TestContext): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "holdfast-project-")));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "plugins/shop"), { recursive: true });
  return folder;
}

const config = { sources: [{ queue: "events" }], serviceBus: { connectionString: "local" }, plugins: [] };
const plugins = [{ name: "shop", skills: ["refund"], dependencies: ["bank"] }];

test("of the project's own configuration, what is said of the plugins is taken, with its paths, and nothing else", async (t) => {
  const folder = project(t);
  const own = join(folder, "holdfast.config.ts");
  writeFileSync(
    own,
    `export default {
  sources: [{ queue: "orders" }],
  serviceBus: { connectionString: "production" },
  store: { kind: "redis", url: "redis://production" },
  plugins: ["./plugins/shop", "./plugins/other"],
  contracts: { folder: "./contracts", unknown: "refuse" },
  settings: { shop: { currency: "EUR", token: { file: "secrets/token" } }, other: { key: 1 } },
  skills: { refund: { timeoutMs: 5_000 }, others: { timeoutMs: 1 } },
  dependencies: { bank: { baseUrl: "https://bank.example.com", bulkhead: { concurrentMax: 2 } }, mailer: { baseUrl: "https://mail.example.com" } },
};
`,
  );
  const file = join(folder, "dev.json");
  const read = await writeDevConfig(file, { config, own, plugins, set: [] });
  assert.deepEqual(read, [join(folder, "contracts")]);
  assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), {
    ...config,
    contracts: { folder: join(folder, "contracts"), unknown: "refuse" },
    settings: { shop: { currency: "EUR", token: { file: join(folder, "secrets/token") } } },
    skills: { refund: { timeoutMs: 5_000 } },
    dependencies: { bank: { baseUrl: "http://stand-in.invalid", bulkhead: { concurrentMax: 2 } } },
  });
});

test("without a configuration of its own a plugin has the defaults, and dependencies that lead nowhere", async (t) => {
  const file = join(project(t), "dev.json");
  assert.deepEqual(await writeDevConfig(file, { config, own: undefined, plugins, set: ["settings.shop.currency=USD", "threads=2"] }), []);
  const written = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  assert.deepEqual(written["dependencies"], { bank: { baseUrl: "http://stand-in.invalid" } });
  assert.ok(!("contracts" in written));
  assert.deepEqual([written["settings"], written["threads"]], [{ shop: { currency: "USD" } }, 2]);
});

test("the nearest configuration at the plugin or above it is found; of two in one folder neither", (t) => {
  const folder = project(t);
  const plugin = join(folder, "plugins/shop");
  writeFileSync(join(folder, "holdfast.config.json"), "{}");
  assert.equal(findOwnConfig(undefined, plugin), join(folder, "holdfast.config.json"));
  assert.equal(findOwnConfig(join(folder, "holdfast.config.json"), "/"), join(folder, "holdfast.config.json"));
  assert.throws(() => findOwnConfig(join(folder, "other.json"), plugin), /--config: expected a configuration at .*other\.json, found no such file/);
  writeFileSync(join(folder, "holdfast.config.ts"), "");
  assert.throws(() => findOwnConfig(undefined, plugin), /expected one configuration in .*; name one with --config FILE/);
});

test("the environment leads no worker away from this machine, and says its plugins their settings", () => {
  const env = {
    PATH: "/bin",
    HOLDFAST_SERVICE_BUS__CONNECTION_STRING: "production",
    HOLDFAST_STORE__URL: "redis://production",
    HOLDFAST_SETTINGS__SHOP__CURRENCY: "EUR",
    HOLDFAST_SETTINGS__OTHER__KEY: "1",
  };
  assert.deepEqual(environmentOf(env, plugins), { PATH: "/bin", HOLDFAST_SETTINGS__SHOP__CURRENCY: "EUR" });
});

test("a folder in which the configuration for 'send' cannot be written is refused before anything begins, with what to do", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-dev-config-"));
  const before = process.cwd();
  t.after(() => {
    process.chdir(before);
    rmSync(folder, { recursive: true });
  });
  writeFileSync(join(folder, ".holdfast"), "");
  process.chdir(folder);
  await assert.rejects(runPlugins({ plugin: [join(import.meta.dirname, "../../handlers/event-dispatcher")], set: [] }), {
    name: "ConfigurationError",
    message:
      /^expected to write \.holdfast\/dev\.config\.json for 'holdfast send' here, found EEXIST: .*; begin it in a folder that you may write to, and name plugins from there$/,
  });
});
