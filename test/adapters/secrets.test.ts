// Secrets that lie elsewhere: read at the start, replaced while connections come and go, and shown to nobody.
import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { inspect } from "node:util";
import { parseNamespace } from "#runtime/adapters/amqp/namespace.ts";
import { createWebhookChannel, signatureOf } from "#runtime/adapters/escalation/webhook.ts";
import { RedisClient } from "#runtime/adapters/redis/client.ts";
import { connect } from "#runtime/adapters/redis/connect.ts";
import { readSecrets, SecretKeeper } from "#runtime/adapters/secrets/secret-keeper.ts";
import { createClient } from "#runtime/adapters/service-bus/client.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { SecretChangedEvent } from "#runtime/core/catalogue.ts";
import { parseConfig } from "#runtime/core/config.ts";
import { secretsIn } from "#runtime/core/config/secrets.ts";
import { Secret } from "#runtime/core/secret.ts";
import { redactValue } from "#runtime/core/redact.ts";
import { startAwakeTime } from "../support/awake-time.ts";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";

const readVault = (): Promise<string> => Promise.reject(new Error("there is no vault"));
const anything = (): undefined => undefined;

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-secrets-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A secret with a value, as somebody has put it into its place. */
function secretOf(value: string): Secret {
  const secret = new Secret({ file: "somewhere" }, anything);
  secret.replace(value);
  return secret;
}

function keep(t: TestContext, directory: string, secrets: readonly { readonly key: string; readonly secret: Secret }[]): readonly SecretChangedEvent[] {
  const told: SecretChangedEvent[] = [];
  const keeper = new SecretKeeper({ secrets, directory, readVault, vaultEveryMs: 60_000, tell: (event) => told.push(event) });
  keeper.start();
  t.after(() => keeper.stop());
  return told;
}

const configuration = {
  sources: [{ queue: "input" }],
  serviceBus: { connectionString: { file: "bus" } },
  store: { kind: "redis", url: { file: "redis" }, password: { env: "HOLDFAST_TEST_ABSENT" } },
  plugins: ["./a"],
  escalation: {
    channels: {
      pager: { kind: "webhook", url: { file: "pager" }, secret: { file: "short" }, headers: { key: { keyVault: "https://v.vault.azure.net/secrets/key" } } },
    },
    rules: [{ name: "any", to: ["pager"] }],
  },
};

test("wherever a secret can stand it can be said where it lies; one that is not there, or is not what it has to be, is refused by its key and without its value", async (t) => {
  const folder = folderFor(t);
  const config = parseConfig(configuration, "test");
  const secrets = secretsIn(config);
  assert.deepEqual(
    secrets.map(({ key }) => key),
    [
      "serviceBus.connectionString",
      "store.url",
      "store.password",
      "escalation.channels.pager.url",
      "escalation.channels.pager.secret",
      "escalation.channels.pager.headers.key",
    ],
  );
  for (const [file, text] of Object.entries({ bus: "Endpoint=sb://x", redis: "http://hush-hush", short: "hush-hush" })) writeFileSync(join(folder, file), text);
  const refusal = async (key: string): Promise<string> =>
    readSecrets(
      secrets.filter((kept) => kept.key === key),
      { directory: folder, readVault },
    ).then(
      () => "",
      (error: unknown) => (error as Error).message,
    );
  assert.equal(await refusal("serviceBus.connectionString"), "");
  assert.match(await refusal("store.url"), /^store\.url: expected redis:.* found text of 16 characters in file redis; correct what lies there$/);
  assert.match(await refusal("store.password"), /^store\.password: expected a secret in variable HOLDFAST_TEST_ABSENT, found no such variable/);
  assert.match(await refusal("escalation.channels.pager.secret"), /expected at least 16 characters, found text of 9 characters in file short/);
  assert.match(await refusal("escalation.channels.pager.headers.key"), /Key Vault https:\/\/v\.vault\.azure\.net\/secrets\/key, found there is no vault/);
  const missing = await refusal("escalation.channels.pager.url");
  assert.match(missing, /expected a secret in file pager, found .*ENOENT/);
  assert.throws(
    () => parseConfig({ ...configuration, store: { kind: "redis", url: { value: "hush-hush" } } }, "test"),
    (error: Error) => !error.message.includes("hush"),
  );
});

test("a secret shows its place, however it is written", () => {
  const secret = secretOf("hush-hush");
  const written = [String(secret), JSON.stringify({ secret }), inspect({ secret }, { showHidden: true }), JSON.stringify(redactValue({ url: secret }))];
  assert.deepEqual(
    written.filter((text) => text.includes("hush") || !text.includes("somewhere")),
    [],
  );
});

test("a file that is replaced, also by a link to another folder, gives its new value within 2 s; a bad one is reported once, and the one before stays", async (t) => {
  const folder = folderFor(t);
  // As Kubernetes mounts secrets.
  for (const [version, value] of [
    ["one", "first-value-0123\n"],
    ["two", "second-value-0123\n"],
    ["bad", "short"],
  ] as const) {
    mkdirSync(join(folder, version));
    writeFileSync(join(folder, version, "key"), value);
  }
  const turnTo = (version: string): void => {
    symlinkSync(version, join(folder, "next"));
    renameSync(join(folder, "next"), join(folder, "data"));
  };
  turnTo("one");
  const secret = new Secret({ file: "data/key" }, (value) => (value.length < 16 ? "expected at least 16 characters" : undefined));
  const secrets = [{ key: "escalation.channels.pager.secret", secret }];
  await readSecrets(secrets, { directory: folder, readVault });
  const told = keep(t, folder, secrets);
  assert.equal(secret.reveal(), "first-value-0123");
  const awakeMs = startAwakeTime(t);
  const began = awakeMs();
  turnTo("two");
  await eventually("the new value", () => secret.reveal() === "second-value-0123");
  assert.ok(awakeMs() - began < 2_000);
  turnTo("bad");
  await eventually("the refusal", () => told.length === 2);
  assert.equal(secret.reveal(), "second-value-0123");
  rmSync(join(folder, "data"));
  await eventually("another refusal", () => told.length === 3);
  turnTo("one");
  await eventually("the value before", () => secret.reveal() === "first-value-0123");
  assert.deepEqual(
    told.map(({ state, setting, place }) => [state, setting, place]),
    ["replaced", "refused", "refused", "replaced"].map((state) => [state, "escalation.channels.pager.secret", "file data/key"]),
  );
  assert.ok(!JSON.stringify(told).includes("value-0123"));
});

test("connections to Redis that are made again log in with the newest password", async (t) => {
  const redis = await startRedis(["--requirepass", "old-password"]);
  t.after(() => redis.stop());
  const [url, password] = [secretOf(`redis://:old-password@127.0.0.1:${redis.port}`), secretOf("old-password")];
  const options = { commandTimeoutMs: 2_000, onDisturbed: () => undefined };
  const clients = [new RedisClient({ url, ...options }), new RedisClient({ url: `redis://:wrong@127.0.0.1:${redis.port}`, password, ...options })];
  for (const client of clients) await client.start();
  const admin = connect({ url: `redis://:old-password@127.0.0.1:${redis.port}` }, 2_000);
  await admin.connect();
  t.after(async () => {
    admin.disconnect();
    await Promise.all(clients.map((client) => client.stop()));
  });
  await admin.call("config", ["set", "requirepass", "new-password"]);
  url.replace(`redis://:new-password@127.0.0.1:${redis.port}`);
  password.replace("new-password");
  for (const client of clients) await client.touch("key", 1_000);
  await admin.call("client", ["kill", "type", "normal", "skipme", "yes"]);
  for (const client of clients)
    await eventually("the client to be there again", () =>
      client.touch("key", 1_000).then(
        () => true,
        () => false,
      ),
    );
});

test("tokens for the broker are signed with the newest key, by our client and by the official one", async () => {
  const connectionString = secretOf("Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=first;SharedAccessKey=a");
  const { tokens } = parseNamespace({ connectionString });
  const client = createClient({ connectionString }, { answerTimeoutMs: 1_000, retriesMax: 0 });
  const official = client as unknown as {
    readonly _connectionContext: { readonly tokenCredential: { getToken(audience: string): Promise<{ readonly token: string }> } };
  };
  const nameIn = (token: string): string => /skn=(\w+)/.exec(token)?.[1] ?? token;
  const names = async (): Promise<readonly string[]> => [
    nameIn((await tokens("sb://n/queue", 0)).value),
    nameIn((await official._connectionContext.tokenCredential.getToken("sb://n/queue")).token),
  ];
  assert.deepEqual(await names(), ["first", "first"]);
  connectionString.replace("Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=second;SharedAccessKey=b");
  assert.deepEqual(await names(), ["second", "second"]);
  await client.close();
});

test("a webhook is called at the newest address, with the newest secret and headers", async (t) => {
  const calls: { readonly path: string | undefined; readonly headers: IncomingHttpHeaders; readonly body: string }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (piece: Buffer) => (body += piece.toString()));
    request.on("end", () => {
      calls.push({ path: request.url, headers: request.headers, body });
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [url, secret, header] = [secretOf(`${address}/old`), secretOf("old secret of 16+"), secretOf("old")];
  const channel = createWebhookChannel({ url, secret, headers: new Map([["x-key", header]]), clock: systemClock });
  const notice = { id: "1" } as Parameters<typeof channel.send>[0];
  await channel.send(notice, AbortSignal.timeout(5_000));
  url.replace(`${address}/new`);
  secret.replace("new secret of 16+");
  header.replace("new");
  await channel.send(notice, AbortSignal.timeout(5_000));
  const seen = calls.map(({ path, headers, body }, index) => {
    const signed = signatureOf(index === 0 ? "old secret of 16+" : "new secret of 16+", String(headers["x-holdfast-timestamp"]), body);
    return [path, headers["x-key"], headers["x-holdfast-signature"] === signed];
  });
  assert.deepEqual(seen, [
    ["/old", "old", true],
    ["/new", "new", true],
  ]);
});
