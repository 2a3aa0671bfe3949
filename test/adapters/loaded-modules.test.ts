// A worker loads what it uses, and nothing else: each library takes megabytes and time.
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const root = resolve(import.meta.dirname, "../..");

/** The packages that a process loads which runs this module text. */
async function packagesOf(text: string): Promise<readonly string[]> {
  const script = `
    const { registerHooks } = require("node:module");
    const loaded = new Set();
    registerHooks({
      load(url, context, next) {
        const name = /.*node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(url)?.[1];
        if (name !== undefined) loaded.add(name);
        return next(url, context);
      },
    });
    void (async () => {
      ${text}
      console.log(JSON.stringify([...loaded]));
      process.exit(0);
    })();`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--eval", script], { cwd: root });
  return JSON.parse(stdout) as readonly string[];
}

/** A worker that is composed and has looked at its surroundings, which nobody serves. */
function composed(store: object, transport: string): string {
  const config = {
    sources: [{ queue: "input" }],
    serviceBus: { connectionString: "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true" },
    plugins: ["./bench/plugins/no-op"],
    pluginRoots: ["./bench/plugins"],
    store,
    transport,
  };
  return `
    const { parseConfig } = await import("#runtime/core/config.ts");
    const { composeWorker } = await import("#runtime/compose/worker.ts");
    const { checkSurroundings } = await import("#runtime/cli/checks.ts");
    await import("#runtime/cli/start.ts");
    const config = parseConfig(${JSON.stringify(config)}, "test");
    await composeWorker(config, ${JSON.stringify(root)});
    if (config.transport === "amqp") await checkSurroundings(config, ${JSON.stringify(root)});`;
}

const heavy = [
  "@azure/service-bus",
  "@azure/identity",
  "bullmq",
  "ioredis",
  "undici",
  "nodemailer",
  "ajv",
  "yaml",
  "@azure/keyvault-secrets",
  "@azure/app-configuration",
  "@opentelemetry/api",
  "@opentelemetry/resources",
];

function heavyOf(packages: readonly string[]): readonly string[] {
  return heavy.filter((name) => packages.includes(name));
}

test("a worker on our own AMQP and SQLite loads no client of Redis, no official client, no HTTP client and no mailer", async () => {
  assert.deepEqual(heavyOf(await packagesOf(composed({ kind: "sqlite", path: ":memory:" }, "amqp"))), []);
});

test("a worker on the official client and Redis loads the libraries of Redis only once it connects", async () => {
  const packages = await packagesOf(composed({ kind: "redis", url: "redis://127.0.0.1:1" }, "sdk"));
  assert.deepEqual(heavyOf(packages), ["@azure/service-bus"]);
});

test("what a skill thread and a plugin import of the runtime brings no checker of configurations along", async () => {
  const packages = await packagesOf(`
    await import("#runtime/index.ts");
    await import("#runtime/adapters/threads/thread.ts");`);
  assert.deepEqual([heavyOf(packages), packages.includes("zod")], [[], false]);
});
