import { strict as assert } from "node:assert";
import { createHmac } from "node:crypto";
import { test, type TestContext } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { inspect } from "node:util";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { Authorizer } from "#runtime/adapters/amqp/authorizer.ts";
import type { Reply } from "#runtime/adapters/amqp/request-link.ts";
import { credentialTokens, sharedKeyTokens } from "#runtime/adapters/amqp/tokens.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { Clock } from "#runtime/core/clock.ts";
import { ConfigurationError, TransportError } from "#runtime/core/errors.ts";
import { certificate, key } from "../amqp/support/certificate.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { type ScriptedService, startScriptedService } from "../support/scripted-service.ts";

const entity = { queue: "input" };
const hourMs = 3_600_000;

function clockOf(manual: ManualClock): Clock {
  return {
    wallMs: () => manual.now(),
    monotonicMs: () => manual.now(),
    after: (delayMs, action) => ({ cancel: manual.after(delayMs, action) }),
    soon: (action) => void setImmediate(action),
  };
}

interface Put {
  readonly audience: string;
  readonly token: string;
  readonly type: string;
}

async function startRecording(t: TestContext, code = 202): Promise<ScriptedService & { readonly puts: Put[] }> {
  const puts: Put[] = [];
  const service = await startScriptedService(t, {
    onToken(audience, token, type) {
      puts.push({ audience, token, type });
      return { code };
    },
  });
  return Object.assign(service, { puts });
}

test("signs a token for each address it uses, as Service Bus checks it", async (t) => {
  const service = await startRecording(t);
  const transport = createAmqpTransport({ connectionString: service.connectionString, entity, clock: systemClock });
  t.after(() => transport.stop());
  await transport.start();
  transport.openReceiver({ deliveries() {}, disturbed() {} });
  await eventually("two tokens", () => service.puts.length === 2);
  assert.deepEqual(service.puts.map(({ audience }) => audience), ["sb://127.0.0.1/input/$management", "sb://127.0.0.1/input"]);
  for (const { audience, token, type } of service.puts) {
    const { sr, sig, se, skn } = Object.fromEntries(new URLSearchParams(token.replace("SharedAccessSignature ", "")));
    const expected = createHmac("sha256", "secret").update(`${encodeURIComponent(audience)}\n${se}`).digest("base64");
    assert.deepEqual([type, sr, sig, skn], ["servicebus.windows.net:sastoken", audience, expected, "root"]);
    assert.ok(Math.abs(Number(se) * 1_000 - Date.now() - hourMs) < 10_000);
  }
});

/** An authorizer on a clock that stands still, and a link that answers with the next of these codes, then with 202. */
function startAuthorizer(codes: number[]): { readonly manual: ManualClock; readonly authorizer: Authorizer; readonly putAtMs: number[]; readonly expired: TransportError[] } {
  const manual = new ManualClock(0);
  const putAtMs: number[] = [];
  const expired: TransportError[] = [];
  const request = async (): Promise<Reply> => {
    putAtMs.push(manual.now());
    return { code: codes.shift() ?? 202, condition: undefined, description: "scripted", body: undefined };
  };
  const authorizer = new Authorizer({ tokens: sharedKeyTokens("root", "secret"), clock: clockOf(manual), newLink: () => ({ request, close() {} }), expired: (error) => expired.push(error) });
  return { manual, authorizer, putAtMs, expired };
}

/** Moves the clock on in steps, letting what is awaited go on between them. */
async function pass(manual: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) {
    manual.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("replaces a token ahead of its end, again and again, and asks once for many links", async () => {
  const { manual, authorizer, putAtMs, expired } = startAuthorizer([]);
  await Promise.all([authorizer.authorize("sb://host/a"), authorizer.authorize("sb://host/a")]);
  assert.deepEqual(putAtMs, [0]);
  await pass(manual, 2 * hourMs);
  assert.deepEqual(putAtMs, [0, 0.75 * hourMs, 1.5 * hourMs]);
  assert.deepEqual(expired, []);
  authorizer.close();
  assert.equal(manual.pending, 0);
});

test("tries again when a token cannot be replaced", async () => {
  const { manual, authorizer, putAtMs, expired } = startAuthorizer([202, 500, 500]);
  await authorizer.authorize("sb://host/a");
  await pass(manual, hourMs);
  assert.deepEqual(putAtMs, [0, 0.75 * hourMs, 0.75 * hourMs + 5_000, 0.75 * hourMs + 10_000]);
  assert.deepEqual(expired, []);
});

test("says so when a token has ended and none could be had", async () => {
  const { manual, authorizer, expired } = startAuthorizer([202, ...Array<number>(1_000).fill(401)]);
  await authorizer.authorize("sb://host/a");
  await pass(manual, hourMs - 1_000);
  assert.equal(expired.length, 0);
  await pass(manual, 5_000);
  assert.equal(expired.length, 1);
  assert.match(expired[0]?.message ?? "", /amqp:unauthorized-access.*; check the key or the role assignment/);
});

test("asks anew for what was refused", async () => {
  const { authorizer, putAtMs } = startAuthorizer([401]);
  await assert.rejects(authorizer.authorize("sb://host/a"), TransportError);
  await authorizer.authorize("sb://host/a");
  assert.equal(putAtMs.length, 2);
  authorizer.close();
});

test("does not start when it is not let in, and says why", async (t) => {
  const service = await startRecording(t, 401);
  const transport = createAmqpTransport({ connectionString: service.connectionString, entity, clock: systemClock });
  await assert.rejects(transport.start(), /^TransportError: expected to reach the entity input of 127\.0\.0\.1, found amqp:unauthorized-access: scripted; check the key/);
});

test("asks an identity for a token of Service Bus", async () => {
  const asked: (string | string[])[] = [];
  const tokens = credentialTokens({
    getToken: async (scopes) => {
      asked.push(scopes);
      return { token: "the token", expiresOnTimestamp: 42 };
    },
  });
  assert.deepEqual(await tokens("sb://namespace/input", 0), { type: "jwt", value: "the token", expiresAtMs: 42 });
  assert.deepEqual(asked, ["https://servicebus.azure.net/.default"]);
  await assert.rejects(credentialTokens({ getToken: async () => null })("sb://namespace/input", 0), TransportError);
});

test("uses a signature it is given, until that has ended", async (t) => {
  const service = await startRecording(t);
  const endpoint = `Endpoint=sb://127.0.0.1:${service.listener.port};UseDevelopmentEmulator=true`;
  const signed = (expiresS: number): string => `${endpoint};SharedAccessSignature=SharedAccessSignature sr=x&sig=y&se=${expiresS}&skn=z`;
  const transport = createAmqpTransport({ connectionString: signed(Math.floor(Date.now() / 1_000) + 60), entity, clock: systemClock });
  t.after(() => transport.stop());
  await transport.start();
  assert.match(service.puts[0]?.token ?? "", /^SharedAccessSignature sr=x&sig=y&se=\d+&skn=z$/);
  await assert.rejects(createAmqpTransport({ connectionString: signed(1), entity, clock: systemClock }).start(), /expired; put a new one/);
});

test("speaks TLS unless the broker is a local one", async (t) => {
  const before = getCACertificates("default");
  setDefaultCACertificates([...before, certificate]);
  t.after(() => setDefaultCACertificates(before));
  const service = await startScriptedService(t, {}, { tls: { key, cert: certificate } });
  const publisher = createAmqpPublisher({ connectionString: service.connectionString.replace("127.0.0.1", "localhost"), clock: systemClock });
  t.after(() => publisher.stop());
  await publisher.start();
  await publisher.send("input", [{ messageId: "m", body: Buffer.alloc(1), headers: {} }]);
  assert.equal(service.connections, 1);
});

test("refuses a certificate that nobody vouches for", async (t) => {
  const service = await startScriptedService(t, {}, { tls: { key, cert: certificate } });
  const transport = createAmqpTransport({ connectionString: service.connectionString, entity, clock: systemClock });
  await assert.rejects(transport.start(), /^TransportError: expected to reach the entity input of 127\.0\.0\.1, found .*self-signed certificate/);
});

test("refuses impossible options, and keeps keys out of its messages", async () => {
  const connectionString = "SharedAccessKeyName=root;SharedAccessKey=topsecret";
  for (const text of [connectionString, `Endpoint=sb://;${connectionString}`, "Endpoint=sb://host;SharedAccessKey=topsecret", ""]) {
    await assert.rejects(createAmqpTransport({ connectionString: text, entity, clock: systemClock }).start(), (error) => {
      assert.ok(error instanceof ConfigurationError);
      assert.match(error.message, /^expected .*, found .*; copy it anew/);
      assert.doesNotMatch(inspect(error), /topsecret/);
      return true;
    });
  }
  for (const create of [() => createAmqpTransport({ connectionString, entity, clock: systemClock, answerTimeoutMs: 99 }), () => createAmqpPublisher({ connectionString, clock: systemClock, answerTimeoutMs: 0 })]) {
    assert.throws(create, /answerTimeoutMs of at least 100, got/);
  }
});

test("says so when the connection string is for another entity", async (t) => {
  const service = await startScriptedService(t, {});
  const connectionString = `${service.connectionString};EntityPath=other`;
  await assert.rejects(createAmqpTransport({ connectionString, entity, clock: systemClock }).start(), /^TransportError: expected to reach the entity input of .*, found .*EntityPath/);
  const publisher = createAmqpPublisher({ connectionString, clock: systemClock });
  t.after(() => publisher.stop());
  await publisher.start();
  await assert.rejects(publisher.send("input", [{ messageId: "m", body: Buffer.alloc(1), headers: {} }]), /^TransportError: expected to send to input, found .*EntityPath/);
});
