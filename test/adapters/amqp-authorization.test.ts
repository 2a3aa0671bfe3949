import { strict as assert } from "node:assert";
import { createHmac } from "node:crypto";
import { test, type TestContext } from "node:test";
import { createSecureContext, getCACertificates, type SecureContext, setDefaultCACertificates } from "node:tls";
import { inspect } from "node:util";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { Authorizer } from "#runtime/adapters/amqp/authorizer.ts";
import { BrokerConnection } from "#runtime/adapters/amqp/broker-connection.ts";
import { Management } from "#runtime/adapters/amqp/management.ts";
import type { Reply } from "#runtime/adapters/amqp/request-link.ts";
import { credentialTokens, sharedKeyTokens, type TokenSource } from "#runtime/adapters/amqp/tokens.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { CredentialNews } from "#runtime/core/credential-news.ts";
import { ConfigurationError, TransportError } from "#runtime/core/errors.ts";
import { certificate, key } from "../amqp/support/certificate.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";
import { type ScriptedService, startScriptedService } from "../support/scripted-service.ts";

const entity = { queue: "input" };
const hourMs = 3_600_000;

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
  assert.deepEqual(
    service.puts.map(({ audience }) => audience),
    ["sb://127.0.0.1/input/$management", "sb://127.0.0.1/input"],
  );
  for (const { audience, token, type } of service.puts) {
    const { sr, sig, se, skn } = Object.fromEntries(new URLSearchParams(token.replace("SharedAccessSignature ", "")));
    const expected = createHmac("sha256", "secret")
      .update(`${encodeURIComponent(audience)}\n${se}`)
      .digest("base64");
    assert.deepEqual([type, sr, sig, skn], ["servicebus.windows.net:sastoken", audience, expected, "root"]);
    assert.ok(Math.abs(Number(se) * 1_000 - Date.now() - hourMs) < 10_000);
  }
});

/** An authorizer on a clock that stands still, and a link that answers with the next of these codes, then with 202. */
function startAuthorizer(codes: number[]): {
  readonly manual: ManualClock;
  readonly authorizer: Authorizer;
  readonly putAtMs: number[];
  readonly expired: TransportError[];
  readonly news: CredentialNews[];
} {
  const news: CredentialNews[] = [];
  const manual = new ManualClock(0);
  const putAtMs: number[] = [];
  const expired: TransportError[] = [];
  const request = async (): Promise<Reply> => {
    putAtMs.push(manual.now());
    return { code: codes.shift() ?? 202, condition: undefined, description: "scripted", body: undefined };
  };
  const authorizer = new Authorizer({
    tokens: sharedKeyTokens("root", "secret"),
    clock: runtimeClock(manual),
    newLink: () => ({ request, close() {} }),
    expired: (error) => expired.push(error),
    heard: (each) => news.push(each),
  });
  return { manual, authorizer, putAtMs, expired, news };
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

test("an audience that is forgotten while its token is replaced leaves no timer", async () => {
  const { manual, authorizer, putAtMs } = startAuthorizer([]);
  await authorizer.authorize("sb://host/a");
  manual.advance(0.75 * hourMs);
  authorizer.forget("sb://host/a");
  await eventually("the replacement", () => putAtMs.length === 2);
  await new Promise((resolve) => setImmediate(resolve));
  authorizer.close();
  assert.equal(manual.pending, 0);
});

test("tries again after growing pauses when a token cannot be replaced, and says how long it lasts yet", async () => {
  const { manual, authorizer, putAtMs, expired, news } = startAuthorizer([202, 500, 500, 500]);
  await authorizer.authorize("sb://host/a");
  await pass(manual, hourMs);
  assert.deepEqual(putAtMs, [0, 0.75 * hourMs, 0.75 * hourMs + 5_000, 0.75 * hourMs + 15_000, 0.75 * hourMs + 35_000]);
  assert.deepEqual(expired, []);
  assert.deepEqual(
    news.map(({ login, error, leftMs }) => [login, error === undefined, leftMs]),
    [
      ["sb://host/a", true, hourMs],
      ["sb://host/a", false, 0.25 * hourMs],
      ["sb://host/a", false, 0.25 * hourMs - 5_000],
      ["sb://host/a", false, 0.25 * hourMs - 15_000],
      ["sb://host/a", true, hourMs],
    ],
  );
});

test("gives up the connection shortly before the token ends that could not be replaced, so that the broker does not", async () => {
  const { manual, authorizer, expired } = startAuthorizer([202, ...Array<number>(1_000).fill(401)]);
  await authorizer.authorize("sb://host/a");
  await pass(manual, hourMs - 11_000);
  assert.equal(expired.length, 0);
  await pass(manual, 2_000);
  assert.equal(expired.length, 1);
  assert.match(expired[0]?.message ?? "", /amqp:unauthorized-access.*; check the key or the role assignment/);
});

test("takes the same token again from an identity that keeps it, and for a failure only near its end", async () => {
  const manual = new ManualClock(0);
  const news: CredentialNews[] = [];
  let expiresAtMs = hourMs;
  const authorizer = new Authorizer({
    tokens: async () => ({ type: "jwt", value: "token", expiresAtMs }),
    clock: runtimeClock(manual),
    newLink: () => ({ request: async () => ({ code: 202, condition: undefined, description: "", body: undefined }), close() {} }),
    expired: () => assert.fail("expected a token in time"),
    heard: (each) => news.push(each),
  });
  await authorizer.authorize("sb://host/a");
  await pass(manual, hourMs - 150_000);
  assert.equal(news.length, 1);
  await pass(manual, 100_000);
  assert.ok(news.length > 1 && news.slice(1).every(({ error }) => /expected a newer token for sb:\/\/host\/a/.test(error ?? "")));
  expiresAtMs = 2 * hourMs;
  await pass(manual, 35_000);
  assert.equal(news.at(-1)?.error, undefined);
  authorizer.close();
  assert.equal(manual.pending, 0);
});

test("sets no timer beyond what a timer can wait for, however long a token lasts", async () => {
  const manual = new ManualClock(0);
  const clock = runtimeClock(manual);
  const delaysMs: number[] = [];
  const authorizer = new Authorizer({
    tokens: async () => ({ type: "servicebus.windows.net:sastoken", value: "token", expiresAtMs: 10_000 * hourMs }),
    clock: {
      ...clock,
      after: (delayMs, action) => {
        delaysMs.push(delayMs);
        return clock.after(delayMs, action);
      },
    },
    newLink: () => ({ request: async () => ({ code: 202, condition: undefined, description: "", body: undefined }), close() {} }),
    expired: () => assert.fail("expected the token to be good for longer"),
  });
  await authorizer.authorize("sb://host/a");
  for (let day = 0; day < 9; day += 1) {
    manual.advance(24 * hourMs);
    await pass(manual, 1_000);
  }
  assert.ok(delaysMs.length > 3 && delaysMs.every((delayMs) => delayMs < 2 ** 31), delaysMs.join());
  authorizer.close();
  assert.equal(manual.pending, 0);
});

test("does not wait for ever for a credential that hangs", async () => {
  const manual = new ManualClock(0);
  const expired: TransportError[] = [];
  let asked = 0;
  const authorizer = new Authorizer({
    // It gives one token, and then nothing any more.
    tokens: () => ((asked += 1) === 1 ? Promise.resolve({ type: "jwt", value: "token", expiresAtMs: hourMs }) : new Promise(() => {})),
    clock: runtimeClock(manual),
    newLink: () => ({ request: async () => ({ code: 202, condition: undefined, description: "", body: undefined }), close() {} }),
    expired: (error) => expired.push(error),
  });
  await authorizer.authorize("sb://host/a");
  const other = assert.rejects(authorizer.authorize("sb://host/b"), /expected a token for sb:\/\/host\/b within 30000 ms, found none; check the credential/);
  await pass(manual, hourMs - 9_000);
  await other;
  assert.match(expired[0]?.message ?? "", /expected a token for sb:\/\/host\/a within 30000 ms/);
  assert.equal(expired.length, 1);
});

test("gets another token when the broker does not honour the one it took", async (t) => {
  let refusals = 0;
  const puts: string[] = [];
  const service = await startScriptedService(t, {
    onToken(audience) {
      puts.push(audience);
      return { code: 202 };
    },
    onReceiver(request) {
      if ((refusals += 1) <= 2) request.refuse({ condition: "amqp:unauthorized-access", description: "the token has ended" });
      else request.acceptAsSender({}, {});
    },
  });
  const transport = createAmqpTransport({ connectionString: service.connectionString, entity, clock: systemClock });
  t.after(() => transport.stop());
  await transport.start();
  const heard: TransportError[] = [];
  transport.openReceiver({ deliveries() {}, disturbed: (error) => heard.push(error) });
  await eventually("the third try", () => refusals === 3);
  assert.equal(puts.filter((audience) => audience === "sb://127.0.0.1/input").length, 3);
  assert.match(heard[0]?.message ?? "", /expected to receive from input, found amqp:unauthorized-access: the token has ended; check the key/);
});

test("notices that no token can be had any more, says so, and is back by itself when there is one", async (t) => {
  let isRefusing = false;
  const service = await startScriptedService(t, { onToken: () => ({ code: isRefusing ? 401 : 202 }) });
  const tokens: TokenSource = async (_audience, wallMs) => ({ type: "jwt", value: "short", expiresAtMs: wallMs + 1_500 });
  const broker = new BrokerConnection({
    namespace: { host: "127.0.0.1", port: service.listener.port, isPlain: true, tokens, entityPath: undefined },
    clock: systemClock,
    answerTimeoutMs: 2_000,
  });
  const management = new Management({ broker, address: "input", clock: systemClock, answerTimeoutMs: 2_000 });
  t.after(async () => {
    management.stop();
    await broker.stop();
  });
  const heard: TransportError[] = [];
  broker.join({ wantsConnection: () => true, opened() {}, closed: (error) => heard.push(error) });
  await management.start();
  assert.equal(service.connections, 1);
  isRefusing = true;
  const error = await eventually("the connection to be given up", () => heard[0]);
  assert.match(error.message, /expected access to sb:\/\/127\.0\.0\.1\/input\/\$management, found amqp:unauthorized-access: scripted; check the key/);
  isRefusing = false;
  assert.deepEqual(await management.peek(0n, 1), []);
  assert.equal(service.connections, 2);
});

test("asks again for what was refused", async () => {
  const { authorizer, putAtMs } = startAuthorizer([401]);
  await assert.rejects(authorizer.authorize("sb://host/a"), TransportError);
  await authorizer.authorize("sb://host/a");
  assert.equal(putAtMs.length, 2);
  authorizer.close();
});

test("does not start when it is not let in, and says why", async (t) => {
  const service = await startRecording(t, 401);
  const transport = createAmqpTransport({ connectionString: service.connectionString, entity, clock: systemClock });
  await assert.rejects(
    transport.start(),
    /^TransportError: expected to reach the entity input of 127\.0\.0\.1, found amqp:unauthorized-access: scripted; check the key/,
  );
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

/** As NODE_EXTRA_CA_CERTS does for a whole process. */
function trust(t: TestContext, authority: string): void {
  const before = getCACertificates("default");
  setDefaultCACertificates([...before, authority]);
  t.after(() => setDefaultCACertificates(before));
}

test("speaks TLS unless the broker is a local one, and names the host it wants", async (t) => {
  trust(t, certificate);
  const names: string[] = [];
  const context = createSecureContext({ key, cert: certificate });
  const answer = (name: string, done: (error: Error | null, context: SecureContext) => void): void => {
    names.push(name);
    done(null, context);
  };
  const service = await startScriptedService(t, {}, { tls: { SNICallback: answer } });
  const publisher = createAmqpPublisher({ connectionString: service.connectionString.replace("127.0.0.1", "localhost"), clock: systemClock });
  t.after(() => publisher.stop());
  await publisher.start();
  await publisher.send("input", [{ messageId: "m", body: Buffer.alloc(1), headers: {} }]);
  assert.deepEqual([service.connections, names], [1, ["localhost"]]);
});

test("refuses a certificate for another host", async (t) => {
  trust(t, certificate);
  const service = await startScriptedService(t, {}, { host: "127.0.0.2", tls: { key, cert: certificate } });
  const connectionString = service.connectionString.replace("127.0.0.1", "127.0.0.2");
  await assert.rejects(
    createAmqpTransport({ connectionString, entity, clock: systemClock }).start(),
    /^TransportError: expected to reach the entity input of 127\.0\.0\.2, found .*does not match/,
  );
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
      assert.match(error.message, /^expected .*, found .*; copy it again/);
      assert.doesNotMatch(inspect(error), /topsecret/);
      return true;
    });
  }
  for (const create of [
    () => createAmqpTransport({ connectionString, entity, clock: systemClock, answerTimeoutMs: 99 }),
    () => createAmqpPublisher({ connectionString, clock: systemClock, answerTimeoutMs: 0 }),
  ]) {
    assert.throws(create, /answerTimeoutMs of at least 100, got/);
  }
});

test("says so when the connection string is for another entity", async (t) => {
  const service = await startScriptedService(t, {});
  const connectionString = `${service.connectionString};EntityPath=other`;
  await assert.rejects(
    createAmqpTransport({ connectionString, entity, clock: systemClock }).start(),
    /^TransportError: expected to reach the entity input of .*, found .*EntityPath/,
  );
  const publisher = createAmqpPublisher({ connectionString, clock: systemClock });
  t.after(() => publisher.stop());
  await publisher.start();
  await assert.rejects(
    publisher.send("input", [{ messageId: "m", body: Buffer.alloc(1), headers: {} }]),
    /^TransportError: expected to send to input, found .*EntityPath/,
  );
});
