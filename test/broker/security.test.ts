import { strict as assert } from "node:assert";
import { createHmac } from "node:crypto";
import { request as httpsRequest } from "node:https";
import { test, type TestContext } from "node:test";
import { isServiceBusError, ServiceBusAdministrationClient, ServiceBusClient } from "@azure/service-bus";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { TokenVerifier } from "#load/broker/security/tokens.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { eventually, within } from "../support/eventually.ts";

const keys = [{ name: "worker", key: "c2VjcmV0LWtleQ==" }];

async function start(t: TestContext, options: Parameters<typeof startBroker>[0] = {}): Promise<Broker> {
  const broker = await startBroker({ entities: { queues: ["orders", "others"] }, ...options });
  t.after(() => broker.stop());
  return broker;
}

function clientOf(t: TestContext, connectionString: string): ServiceBusClient {
  const client = new ServiceBusClient(connectionString, { retryOptions: { maxRetries: 0, timeoutInMs: 5000, retryDelayInMs: 100 } });
  t.after(() => client.close());
  return client;
}

const isUnauthorized = (error: unknown): boolean => isServiceBusError(error) && error.code === "UnauthorizedAccess";

function sign(resource: string, expiry: number, { name, key }: { name: string; key: string }): string {
  const signature = createHmac("sha256", key)
    .update(`${encodeURIComponent(resource)}\n${expiry}`)
    .digest("base64");
  return `SharedAccessSignature sr=${encodeURIComponent(resource)}&sig=${encodeURIComponent(signature)}&se=${expiry}&skn=${name}`;
}

test("lets in who has a configured key, and nobody else", async (t) => {
  const broker = await start(t, { keys });
  assert.match(broker.connectionString, /SharedAccessKeyName=worker;SharedAccessKey=c2VjcmV0LWtleQ==/);
  await clientOf(t, broker.connectionString).createSender("orders").sendMessages({ body: 1 });
  const forged = broker.connectionString.replace("c2VjcmV0LWtleQ==", "Z3Vlc3M=");
  await assert.rejects(clientOf(t, forged).createSender("orders").sendMessages({ body: 2 }), isUnauthorized);
  await assert.rejects(clientOf(t, forged.replace("=worker", "=stranger")).createSender("orders").sendMessages({ body: 2 }), isUnauthorized);
  assert.equal((await administrationOf(broker).getQueue("orders")).name, "orders");
  await assert.rejects(administrationOf({ ...broker, connectionString: forged }).getQueue("orders"), { statusCode: 401, code: "UnauthorizedRequestError" });
  const bare = await fetch(`http://127.0.0.1:${broker.port}/orders?api-version=2021-05`);
  assert.equal(bare.status, 401);
  assert.equal(broker.inspect().queues["orders"]?.states.active, 1);
});

test("takes a token for an entity's management node as one for that node alone", async (t) => {
  const broker = await start(t, { keys });
  const client = clientOf(t, broker.connectionString);
  assert.deepEqual(await client.createReceiver("orders").peekMessages(1), []);
  const [key = { name: "", key: "" }] = keys;
  const resource = `sb://127.0.0.1:${broker.port}/orders/$management`;
  const narrow = clientOf(
    t,
    `Endpoint=sb://127.0.0.1:${broker.port};SharedAccessSignature=${sign(resource, Math.floor(Date.now() / 1000) + 60, key)};UseDevelopmentEmulator=true`,
  );
  assert.deepEqual(await narrow.createReceiver("orders").peekMessages(1), []);
  await assert.rejects(narrow.createSender("orders").sendMessages({ body: 1 }), isUnauthorized);
});

test("takes the emulator's key and refuses others when none is configured", async (t) => {
  const broker = await start(t);
  await clientOf(t, broker.connectionString).createSender("orders").sendMessages({ body: 1 });
  await assert.rejects(clientOf(t, broker.connectionString.replace("SAS_KEY_VALUE", "other")).createSender("orders").sendMessages({ body: 1 }), isUnauthorized);
});

test("judges a token by key, signature, expiry and audience", () => {
  const nowMs = 1_700_000_000_000;
  const verifier = new TokenVerifier(keys, () => nowMs);
  const [key = { name: "", key: "" }] = keys;
  const later = nowMs / 1000 + 60;
  const reason = (token: string, audience = "sb://localhost:5672/orders"): string => {
    const verdict = verifier.verify(token, audience);
    return verdict.ok ? "good" : verdict.reason;
  };
  assert.equal(reason(sign("sb://localhost/orders", later, key)), "good");
  assert.equal(reason(sign("sb://LOCALHOST:5672/", later, key)), "good");
  assert.equal(reason(sign("http://localhost/orders", later, key), "https://localhost/orders/Subscriptions/a"), "good");
  assert.match(reason(sign("sb://localhost/orders2", later, key)), /InvalidAudience/);
  assert.match(reason(sign("sb://localhost/orders", later, key), "sb://localhost/orders2"), /InvalidAudience/);
  assert.match(reason(sign("sb://localhost/orders", nowMs / 1000, key)), /ExpiredToken/);
  assert.match(reason(sign("sb://localhost/orders", later, { ...key, key: "x" })), /InvalidSignature/);
  assert.match(reason(sign("sb://localhost/orders", later, key).replace(`se=${later}`, `se=${later + 1}`)), /InvalidSignature/);
  assert.match(reason(sign("sb://localhost/orders", later, { ...key, name: "y" })), /InvalidSignature: The token has an invalid signature\./);
  for (const token of ["", "Bearer x", "SharedAccessSignature", "SharedAccessSignature sr=%zz&sig=&se=x&skn="]) assert.notEqual(reason(token), "good");
});

test("ends links whose token has ended", async (t) => {
  const broker = await start(t, { keys });
  const [key = { name: "", key: "" }] = keys;
  // So long that the receiver is there before, on a busy machine, too.
  const expiry = Math.floor(Date.now() / 1000) + 5;
  const token = sign(`sb://127.0.0.1:${broker.port}/`, expiry, key);
  const client = clientOf(t, `Endpoint=sb://127.0.0.1:${broker.port};SharedAccessSignature=${token};UseDevelopmentEmulator=true`);
  // One that subscribes tries again for ever, and the SDK's close waits for that.
  const received = client
    .createReceiver("orders")
    .receiveMessages(1, { maxWaitTimeInMs: 60_000 })
    .catch((error: unknown) => error);
  await eventually("the receiver to be there", () => broker.inspect().queues["orders"]?.receivers === 1);
  await eventually("the receiver to be gone", () => broker.inspect().queues["orders"]?.receivers === 0);
  assert.ok(isUnauthorized(await within("it to hear why", received)));
});

async function getOverTls(broker: Broker, path: string, ca: string): Promise<{ status: number | undefined; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number | undefined; body: string }>();
  const request = httpsRequest({ host: "127.0.0.1", port: broker.port, path, ca, agent: false }, (response) => {
    let body = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => (body += chunk));
    response.on("end", () => resolve({ status: response.statusCode, body }));
  });
  request.on("error", reject);
  request.end();
  return promise;
}

test("speaks HTTP and AMQP over TLS with a certificate of its own, on the same port", async (t) => {
  const broker = await start(t);
  const certificate = await (await fetch(`http://127.0.0.1:${broker.port}/certificate`)).text();
  assert.equal(certificate, await broker.certificate());
  assert.deepEqual(await getOverTls(broker, "/health", certificate), { status: 200, body: '{"status":"healthy"}' });
  await assert.rejects(getOverTls(broker, "/health", ""), /self-signed certificate|unable to verify/);
  const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  t.after(() => {
    if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
  });
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  // The client hands its host to TLS as server name, which may be no address: Node 26 refuses one.
  const secure = broker.connectionString.replace(";UseDevelopmentEmulator=true", "").replace("//127.0.0.1:", "//localhost:");
  const client = clientOf(t, secure);
  await client.createSender("orders").sendMessages({ body: "secret" });
  assert.equal((await client.createReceiver("orders").receiveMessages(1))[0]?.body, "secret");
  const admin = new ServiceBusAdministrationClient(secure, { retryOptions: { maxRetries: 0 } });
  assert.equal((await admin.getQueue("orders")).name, "orders");
});
