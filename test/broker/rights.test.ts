import { strict as assert } from "node:assert";
import { createHmac } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { isServiceBusError, ServiceBusClient } from "@azure/service-bus";
import rhea from "rhea";
import { type Broker, type BrokerOptions, startBroker } from "#load/broker/broker.ts";
import type { SaslCredentials } from "#runtime/amqp/security/sasl.ts";
import { dial } from "#runtime/amqp/connection/sockets.ts";
import { isGranted, readKey, readKeys } from "#load/broker/security/keys.ts";
import { signToken, TokenVerifier } from "#load/broker/security/tokens.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { within } from "../support/eventually.ts";

const entities = { queues: ["orders", "others"], topics: [{ name: "news", subscriptions: ["a"] }] };
const keys = [
  { name: "root", key: "cm9vdA==" },
  { name: "sender", key: "c2VuZA==", rights: ["Send"] as const },
  { name: "listener", key: "bGlzdGVu", rights: ["Listen"] as const },
  { name: "owner", key: "b3duZXI=", rights: ["Manage"] as const, entity: "orders" },
  { name: "reader", key: "cmVhZGVy", rights: ["Listen"] as const, entity: "news" },
];

async function start(t: TestContext, options: BrokerOptions = {}): Promise<Broker> {
  const broker = await startBroker({ entities, keys, ...options });
  t.after(() => broker.stop());
  return broker;
}

function connectionStringOf(broker: Broker, name: string): string {
  const key = keys.find((each) => each.name === name)?.key ?? "";
  return `Endpoint=sb://127.0.0.1:${broker.port};SharedAccessKeyName=${name};SharedAccessKey=${key};UseDevelopmentEmulator=true`;
}

function clientOf(t: TestContext, broker: Broker, name: string): ServiceBusClient {
  const client = new ServiceBusClient(connectionStringOf(broker, name), { retryOptions: { maxRetries: 0, timeoutInMs: 5000 } });
  t.after(() => client.close());
  return client;
}

/** Refused, in the words of the real service. */
function lacks(claims: string, path: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isServiceBusError(error));
    assert.equal(error.code, "UnauthorizedAccess");
    assert.ok(
      error.message.includes(
        `Unauthorized access. '${claims}' claim(s) are required to perform this operation. Resource: 'sb://127.0.0.1/${path}'. TrackingId:`,
      ),
      error.message,
    );
    return true;
  };
}

test("a key is good for its rights alone, on links and in management", async (t) => {
  const broker = await start(t);
  const [root, sender, listener] = ["root", "sender", "listener"].map((name) => clientOf(t, broker, name));
  assert.ok(root && sender && listener);
  const later = new Date(Date.now() + 3_600_000);
  await sender.createSender("orders").sendMessages({ body: 1 });
  const [number] = await sender.createSender("orders").scheduleMessages({ body: 2 }, later);
  await assert.rejects(sender.createReceiver("orders").receiveMessages(1), lacks("Listen", "orders"));
  await assert.rejects(sender.createReceiver("orders").peekMessages(1), lacks("Listen", "orders"));

  const [message] = await listener.createReceiver("orders").receiveMessages(1);
  assert.equal(message?.body, 1);
  assert.equal((await listener.createReceiver("orders").peekMessages(5)).length, 2);
  await assert.rejects(listener.createSender("orders").sendMessages({ body: 3 }), lacks("Send", "orders"));
  await assert.rejects(listener.createSender("orders").scheduleMessages({ body: 3 }, later), lacks("Send", "orders"));
  assert.ok(number);
  await assert.rejects(listener.createSender("orders").cancelScheduledMessages(number), lacks("Send", "orders"));
  const rules = listener.createRuleManager("news", "a");
  for await (const { name } of rules.listRules()) assert.equal(name, "$Default");
  await assert.rejects(rules.createRule("all", { sqlExpression: "1=1" }), lacks("Manage", "news/Subscriptions/a"));
  await root.createRuleManager("news", "a").createRule("all", { sqlExpression: "1=1" });
});

test("a key of one entity opens that entity and what belongs to it", async (t) => {
  const broker = await start(t);
  const owner = clientOf(t, broker, "owner");
  await owner.createSender("orders").sendMessages({ body: 1 });
  const receiver = owner.createReceiver("orders");
  const [message] = await receiver.receiveMessages(1);
  assert.ok(message);
  await receiver.deadLetterMessage(message);
  assert.equal((await owner.createReceiver("orders", { subQueueType: "deadLetter" }).receiveMessages(1)).length, 1);
  await assert.rejects(owner.createSender("others").sendMessages({ body: 1 }), { code: "UnauthorizedAccess" });
  await clientOf(t, broker, "root").createSender("news").sendMessages({ body: "new" });
  assert.equal((await clientOf(t, broker, "reader").createReceiver("news", "a").receiveMessages(1))[0]?.body, "new");
});

test("a key of one entity opens no other whose name begins with its own", async (t) => {
  const broker = await start(t, { entities: { ...entities, queues: ["orders", "orders/eu"] } });
  const client = clientOf(t, broker, "owner");
  await client.createSender("orders").sendMessages({ body: 1 });
  await assert.rejects(client.createSender("orders/eu").sendMessages({ body: 1 }), { code: "UnauthorizedAccess" });
  const granted = { place: "orders", entity: "orders" };
  assert.deepEqual(
    ["orders/eu", "orders", "orders/$deadletterqueue", "orders/$management"].map((path) => isGranted(path, granted)),
    [false, true, true, true],
    "expected a token that was put for the one not to open the other either",
  );
});

test("administration needs to manage, and says so", async (t) => {
  const broker = await start(t);
  const as = (name: string): ReturnType<typeof administrationOf> => administrationOf({ ...broker, connectionString: connectionStringOf(broker, name) });
  assert.equal((await as("root").createQueue("made")).name, "made");
  assert.equal((await as("owner").getQueue("orders")).name, "orders");
  await assert.rejects(as("owner").getQueue("others"), { statusCode: 401 });
  await assert.rejects(as("listener").getQueue("orders"), { statusCode: 401, message: /'Manage,EntityRead' claims required for this operation/ });
  await assert.rejects(as("sender").deleteQueue("orders"), { statusCode: 401, message: /'Manage,EntityDelete' claims required/ });
});

/** What a log-in comes to: whether the connection opens, or is refused. */
function login(t: TestContext, broker: Broker, options: Record<string, unknown>): Promise<string> {
  const connection = rhea.create_container().connect({ port: broker.port, host: "127.0.0.1", reconnect: false, ...options });
  t.after(() => connection.close());
  return within(
    "an answer",
    new Promise<string>((resolve) => {
      connection.once("connection_open", () => resolve("open"));
      connection.once("connection_error", () => resolve("refused"));
      connection.once("disconnected", () => resolve("refused"));
    }),
  );
}

test("a name and a key may be shown at log-in, and must then be right", async (t) => {
  const broker = await start(t);
  assert.equal(await login(t, broker, { username: "root", password: "cm9vdA==" }), "open");
  assert.equal(await login(t, broker, { username: "root", password: "cm9vdA=" }), "refused");
  assert.equal(await login(t, broker, { username: "nobody", password: "cm9vdA==" }), "refused");
  assert.equal(await login(t, broker, { username: "anybody" }), "open");
  const open = await startBroker();
  t.after(() => open.stop());
  assert.equal(await login(t, open, { username: "RootManageSharedAccessKey", password: "SAS_KEY_VALUE" }), "open");
  assert.equal(await login(t, open, { username: "RootManageSharedAccessKey", password: "wrong" }), "refused");
});

/** What a link comes to that is opened without a token: why it is refused, or that it is not. */
function linkWithout(broker: Broker, sasl: SaslCredentials): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const connection = dial(
    { host: "127.0.0.1", port: broker.port, containerId: "test", sasl },
    {
      onOpen: (opened) => {
        opened.begin({}).openSender(
          { name: "link", target: { address: "orders" } },
          {
            onSendable: () => resolve("attached"),
            onDetach: (_, { error }) => resolve(error?.condition ?? "detached"),
          },
        );
      },
      onClosed: (_, { by }) => resolve(`closed by ${by}`),
    },
  );
  return within("an answer", promise).finally(() => connection.close());
}

test("every way to log in without a key opens a connection, on which links need a token where there are keys", async (t) => {
  const [guarded, open] = [await start(t), await startBroker({ entities })];
  t.after(() => open.stop());
  for (const sasl of [{ mechanism: "ANONYMOUS" }, { mechanism: "EXTERNAL" }, { mechanism: "MSSBCBS" }] as const) {
    assert.deepEqual([await linkWithout(guarded, sasl), await linkWithout(open, sasl)], ["amqp:unauthorized-access", "attached"], sasl.mechanism);
  }
  assert.equal(await linkWithout(guarded, { mechanism: "PLAIN", username: "sender", password: "c2VuZA==" }), "attached");
  assert.equal(await linkWithout(guarded, { mechanism: "PLAIN", username: "listener", password: "bGlzdGVu" }), "amqp:unauthorized-access");
});

test("the control endpoint asks for a key that may manage everything", async (t) => {
  const broker = await start(t);
  const url = `http://127.0.0.1:${broker.port}`;
  const ask = async (path: string, name?: string): Promise<number> => {
    const key = keys.find((each) => each.name === name);
    const headers = key === undefined ? {} : { authorization: signToken(url, key, Date.now() + 60_000) };
    const response = await fetch(`${url}${path}`, { headers });
    await response.body?.cancel();
    return response.status;
  };
  for (const path of ["/inspect", "/faults", "/inspect/orders/messages"]) {
    assert.deepEqual([await ask(path), await ask(path, "listener"), await ask(path, "owner"), await ask(path, "root")], [401, 401, 401, 200], path);
  }
  assert.deepEqual([await ask("/health"), await ask("/certificate")], [200, 200]);
});

test("without keys the control endpoint is for this machine's programs, not for pages from elsewhere", async (t) => {
  const broker = await startBroker();
  t.after(() => broker.stop());
  const ask = (headers: Record<string, string>, path = "/inspect"): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      httpRequest({ port: broker.port, host: "127.0.0.1", path, headers, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on("error", reject)
        .end();
    });
  assert.deepEqual(
    await Promise.all(
      [{}, { host: "localhost:5672" }, { host: "[::1]:5672" }, { host: "rebound.example.com" }, { origin: "https://example.com" }].map((headers) =>
        ask(headers),
      ),
    ),
    [200, 200, 200, 403, 403],
  );
  const administration = "/orders?api-version=2021-05";
  assert.deepEqual([await ask({}, administration), await ask({ origin: "https://example.com" }, administration)], [404, 403]);
});

test("only keys let others than this machine in", async (t) => {
  await assert.rejects(startBroker({ host: "0.0.0.0" }), {
    code: "BrokerHost",
    message: /expected keys with the address 0\.0\.0\.0, which others can reach, found none; say who may come in with --key/,
  });
  const broker = await start(t, { host: "0.0.0.0" });
  assert.match(broker.connectionString, /^Endpoint=sb:\/\/localhost:\d+;SharedAccessKeyName=root;SharedAccessKey=cm9vdA==;/);
  assert.match(broker.connectionStringShown, /SharedAccessKey=…;/);
});

test("keeps its certificate beside the messages", async (t) => {
  const data = await mkdtemp(join(tmpdir(), "holdfast-broker-tls-"));
  t.after(() => rm(data, { recursive: true, force: true }));
  const certificates: string[] = [];
  for (let round = 0; round < 2; round++) {
    const broker = await startBroker({ data });
    certificates.push(await broker.certificate());
    await broker.stop();
  }
  assert.equal(certificates[0], certificates[1]);
  const path = join(data, "certificate.pem");
  assert.match(await readFile(path, "utf8"), /PRIVATE KEY/);
  assert.equal((await stat(path)).mode & 0o077, 0);
});

test("reads keys, and never repeats one in an error", () => {
  assert.deepEqual(readKey("--key", "a=b=c=="), { name: "a", key: "b=c==" });
  assert.deepEqual(readKey("--key", "a=b;rights=Listen,Send;entity=orders"), { name: "a", key: "b", rights: ["Listen", "Send"], entity: "orders" });
  assert.deepEqual(readKeys("keys.json", '[{ "name": "a", "key": "b", "rights": ["Send"] }]'), [{ name: "a", key: "b", rights: ["Send"] }]);
  for (const [text, message] of [
    ["verysecret", /expected name=key, found no equal sign/],
    ["=verysecret", /found an empty name or key/],
    ["a=verysecret;rights=Write", /--key\.rights: expected some of Listen, Send, Manage, found \["Write"\]/],
    ["a=verysecret;right=Send", /expected name, key, rights and entity, found right/],
  ] as const) {
    assert.throws(
      () => readKey("--key", text),
      (error: Error) => message.test(error.message) && !error.message.includes("verysecret"),
      text,
    );
  }
  for (const text of ['[{ "name": "a", "key": "verysecret" ', '{ "key": "verysecret" }', '[{ "name": 5, "key": "verysecret" }]', '["verysecret"]']) {
    assert.throws(
      () => readKeys("keys.json", text),
      (error: Error) => error.message.startsWith("keys.json") && !error.message.includes("verysecret"),
      text,
    );
  }
});

test("a token of another writer, with what it covers written in its own way, is judged by what it says", () => {
  const nowMs = 1_700_000_000_000;
  const verifier = new TokenVerifier(keys, () => nowMs);
  const sign = (resource: string, name: string): string => {
    const key = keys.find((each) => each.name === name)?.key ?? "";
    const expiry = nowMs / 1000 + 60;
    return `SharedAccessSignature se=${expiry}&skn=${name}&sr=${resource}&sig=${encodeURIComponent(createHmac("sha256", key).update(`${resource}\n${expiry}`).digest("base64"))}`;
  };
  const judge = (resource: string, audience: string, name: string): string => {
    const verdict = verifier.verify(sign(resource, name), audience);
    return verdict.ok ? `${verdict.grant.place}:${[...verdict.grant.rights].join("+")}` : (verdict.reason.split(":")[0] ?? "");
  };
  assert.equal(judge("sb%3A%2F%2Flocalhost%2Forders", "amqp://localhost/orders/$management", "listener"), "orders/$management:Listen");
  assert.equal(judge("sb://localhost/", "sb://localhost/Orders", "root"), "orders:Listen+Send+Manage");
  assert.equal(judge("sb://localhost", "sb://localhost", "owner"), "orders:Listen+Send+Manage");
  assert.equal(judge("sb://localhost/others", "sb://localhost/others", "owner"), "InvalidSignature");
  assert.equal(judge("sb://localhost/orders", "sb://localhost/orders/$DeadLetterQueue", "owner"), "orders/$deadletterqueue:Listen+Send+Manage");
  assert.equal(judge("sb://localhost/orders", "sb://localhost/", "root"), "InvalidAudience");
});
