import { strict as assert } from "node:assert";
import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { traceIdOf } from "#runtime/core/trace-context.ts";
import { deriveSpan } from "#runtime/skills/host/run-identity.ts";
import {
  type CallInfo,
  type DependencyOptions,
  type HttpDependency,
  type HttpDependencyOptions,
  PermanentError,
  type SkillContext,
  type StepContext,
  SkillError,
  TransientError,
  defineDependency,
  defineSkill,
} from "../../runtime/index.ts";
import { asUnreachable } from "../../runtime/skills/host/unreachable.ts";
import { envelope } from "../support/event-messages.ts";
import { within } from "../support/eventually.ts";
import { oddNames, oddWords } from "../support/odd-names.ts";
import { freePort } from "../support/redis-server.ts";
import { type Answered, type HostBundle, makeHost } from "./host.ts";

const handles = [{ eventType: envelope.eventType }];

interface Received {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** A server on a free port that answers through `answer` and keeps what it received. */
async function serve(
  t: TestContext,
  answer: (response: ServerResponse, number: number) => void,
): Promise<{ readonly url: string; readonly received: Received[] }> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      received.push({ method: request.method, url: request.url, headers: request.headers, body });
      answer(response, received.length);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

const quickRetry = { attemptsMax: 3, baseDelayMs: 1, delayMaxMs: 20 };

function httpOf(baseUrl: string, options: Partial<HttpDependencyOptions> = {}): HttpDependency {
  return defineDependency({ name: "web", baseUrl, retry: quickRetry, ...options });
}

async function runWith(t: TestContext, dependency: HttpDependency, run: (context: SkillContext) => unknown, timeoutMs = 10_000): Promise<Answered> {
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, uses: [dependency], run })]);
  return await bundle.run({ timeoutMs });
}

/** What a call throws, by a clock that stands still: its time is over when a timer says so, and not because the machine is busy. */
async function errorOf(t: TestContext, dependency: HttpDependency): Promise<{ readonly error: SkillError; readonly answered: Answered }> {
  let error: unknown;
  const run = async (context: SkillContext): Promise<void> => {
    error = await context.call(dependency, { method: "POST", path: "/x", body: {} }).catch((caught: unknown) => caught);
  };
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, uses: [dependency], run })]);
  bundle.stillAtMs = performance.now();
  const answered = await bundle.run();
  assert.ok(error instanceof SkillError, String(error));
  return { error, answered };
}

test("an HTTP call carries the idempotency key, the run, the step, the epoch and the trace", async (t) => {
  const { url, received } = await serve(t, (response) => json(response, 201, { id: "n-1" }, { "x-made": "yes" }));
  const dependency = httpOf(`${url}/api/`);
  const keys: string[] = [];
  const { answer, calls } = await runWith(t, dependency, (context) =>
    context.step("post", {}, async (step) => {
      keys.push(step.idempotencyKey);
      const response = await step.call(dependency, {
        method: "POST",
        path: "/hooks?a=1",
        headers: { "X-Own": "1", "Idempotency-Key": "forged" },
        body: { text: "ä" },
      });
      assert.deepEqual([response.status, response.body, response.headers["x-made"]], [201, { id: "n-1" }, "yes"]);
      await context.call(dependency, { method: "GET", path: "/again" });
    }),
  );
  assert.equal(answer.kind, "completed");
  assert.deepEqual(calls, [{ dependency: "web", result: "succeeded" }]);
  const [post, again] = received;
  assert.ok(post && again);
  assert.deepEqual(
    [post.method, post.url, post.body, post.headers["content-type"], post.headers["x-own"]],
    ["POST", "/api/hooks?a=1", '{"text":"ä"}', "application/json", "1"],
  );
  assert.deepEqual(
    [post.headers["idempotency-key"], post.headers["holdfast-run"], post.headers["holdfast-step"], post.headers["holdfast-epoch"]],
    [keys[0], envelope.eventId, "post", "3"],
  );
  assert.match(String(post.headers["traceparent"]), /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  assert.equal(again.headers["idempotency-key"], `${keys[0]}-2`);
});

test("a transient answer is tried again under the same key, until it works", async (t) => {
  const { url, received } = await serve(t, (response, number) => json(response, number < 3 ? 503 : 200, {}));
  const { answer, calls } = await runWith(t, httpOf(url), (context) =>
    context.step("s", {}, (step) => step.call(httpOf(url), { method: "PUT", path: "/" }).then(() => undefined)),
  );
  assert.equal(answer.kind, "completed");
  assert.deepEqual(calls, [{ dependency: "web", result: "succeeded" }]);
  assert.equal(received.length, 3);
  assert.equal(new Set(received.map(({ headers }) => headers["idempotency-key"])).size, 1);
  assert.equal(new Set(received.map(({ headers }) => headers["traceparent"])).size, 3);
});

test("a status says whether to try again and whether it is certain that nothing happened", async (t) => {
  const cases: readonly (readonly [status: number, retryable: boolean, definite: boolean, requests: number])[] = [
    [400, false, true, 1],
    [404, false, true, 1],
    [302, false, true, 1],
    [408, true, false, 3],
    [429, true, true, 3],
    [500, true, false, 3],
    [503, true, true, 3],
  ];
  for (const [status, retryable, definite, requests] of cases) {
    const { url, received } = await serve(t, (response) => json(response, status, { error: "token=abc123 is bad" }));
    const { error, answered } = await errorOf(t, httpOf(url));
    assert.deepEqual(
      [error.code, error.status, error.retryable, error.definite, error.dependency, received.length],
      [`HTTP_${status}`, status, retryable, definite, "web", requests],
    );
    assert.equal(error instanceof PermanentError, !retryable);
    assert.deepEqual(answered.calls, [{ dependency: "web", result: retryable ? "failed" : "succeeded" }]);
    assert.doesNotMatch(error.message, /abc123/);
  }
});

test("a longer Retry-After than a call may wait goes to whoever decides about the run", async (t) => {
  const { url, received } = await serve(t, (response) => json(response, 429, {}, { "retry-after": "7" }));
  const { error } = await errorOf(t, httpOf(url));
  assert.equal(error instanceof TransientError && error.retryAfterMs, 7_000);
  assert.equal(received.length, 1);
});

test("a server that cannot be reached is transient, certainly did nothing, and is named with what to do", async (t) => {
  const url = `http://127.0.0.1:${await freePort()}`;
  const { error, answered } = await errorOf(t, httpOf(`${url}/api`));
  assert.equal(
    error.message,
    `web: expected ${url} to answer, found connect ECONNREFUSED ${url.slice(7)}; check that it is up and can be reached from here, and dependencies.web.baseUrl`,
  );
  assert.deepEqual([error.code, error.retryable, error.definite], ["ECONNREFUSED", true, true]);
  assert.deepEqual(answered.calls, [{ dependency: "web", result: "failed" }]);
});

test("a host whose name leads nowhere, and a certificate that is not trusted, say what to do", async (t) => {
  const nowhere = await errorOf(t, httpOf("http://nowhere.invalid"));
  assert.deepEqual([nowhere.error.retryable, nowhere.error.definite], [true, true]);
  assert.match(nowhere.error.message, /^web: expected http:\/\/nowhere\.invalid to answer, found .*; check the host in dependencies\.web\.baseUrl/);
  const untrusted = asUnreachable("web", "https://a.example", Object.assign(new Error("self-signed certificate"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }));
  assert.match(
    untrusted instanceof TransientError ? untrusted.message : "",
    /^web: expected https:\/\/a\.example to answer, found self-signed certificate; renew its certificate, or name its authority in NODE_EXTRA_CA_CERTS$/,
  );
});

test("a time-out or broken connection after the request was sent leaves the outcome unknown", async (t) => {
  const silent = await serve(t, () => undefined);
  const timeouts = { totalMs: 50 };
  const late = await errorOf(t, httpOf(silent.url, { timeouts, retry: { attemptsMax: 1 } }));
  assert.deepEqual([late.error.code, late.error.retryable, late.error.definite], ["CALL_TIMEOUT", true, false]);
  assert.match(late.error.message, /^web: expected an answer within totalMs \(50 ms\) .*; see what keeps it, or raise dependencies\.web\.timeouts\.totalMs$/);
  const broken = await serve(t, (response) => response.destroy());
  const torn = await errorOf(t, httpOf(broken.url));
  assert.deepEqual([torn.error.retryable, torn.error.definite, broken.received.length], [true, false, 3]);
});

test("what may be unknown is not tried again inside a step that must not repeat it", async (t) => {
  for (const [options, requests] of [
    [{ kind: "atMostOnce" }, 1],
    [{ kind: "queryable", query: () => undefined }, 1],
    [{ kind: "idempotent" }, 3],
  ] as const) {
    const { url, received } = await serve(t, (response) => json(response, 500, {}));
    const dependency = httpOf(url);
    const { answer } = await runWith(t, dependency, (context) =>
      context.step("s", options, (step) => step.call(dependency, { method: "POST", path: "/" }).then(() => 1)),
    );
    assert.equal(answer.kind, options.kind === "atMostOnce" ? "outcome-unknown" : "failed");
    assert.equal(received.length, requests);
  }
});

test("a response over the cap or of a false type is refused", async (t) => {
  const large = await serve(t, (response) => json(response, 200, "x".repeat(5_000)));
  const { error } = await errorOf(t, httpOf(large.url, { responseBytesMax: 1_000 }));
  assert.deepEqual([error.code, error.retryable, error.definite], ["RESPONSE_TOO_LARGE", false, false]);
  const broken = await serve(t, (response) => response.writeHead(200, { "content-type": "application/json" }).end("{"));
  const malformed = await errorOf(t, httpOf(broken.url));
  assert.deepEqual([malformed.error.code, malformed.error.retryable, malformed.error.definite], ["HTTP_MALFORMED", true, false]);
});

test("a body that JSON cannot say is refused for good, and nothing is sent", async (t) => {
  const { url, received } = await serve(t, (response) => json(response, 200, {}));
  const web = httpOf(url);
  const { answer } = await runWith(t, web, async (context) => {
    await context.call(web, { method: "POST", path: "/x", body: { big: 2n ** 60n } });
  });
  assert.match(answer.kind === "failed" ? answer.failure.message : "", /web: expected a body that JSON can say/);
  assert.equal(answer.kind === "failed" && answer.retryable, false);
  assert.equal(received.length, 0);
});

test("the run's time bounds its calls, and a call it ran out on has failed", async (t) => {
  const { promise: arrived, resolve } = Promise.withResolvers<void>();
  const { url, received } = await serve(t, () => resolve());
  const dependency = httpOf(url);
  const run = (context: SkillContext): Promise<unknown> => context.call(dependency, { method: "GET", path: "/" });
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, uses: [dependency], run })]);
  // The run's time is not over before its call has arrived, however slow the machine is.
  bundle.stillAtMs = performance.now();
  const { answered } = bundle.begin({ timeoutMs: 60 });
  await within("the call to arrive", arrived);
  bundle.skewMs += 60;
  const { answer, calls } = await answered;
  assert.deepEqual([answer.kind, calls], ["timed-out", [{ dependency: "web", result: "failed" }]]);
  assert.equal(received.length, 1);
});

test("settings of the configuration replace what the definition says", async (t) => {
  const { url, received } = await serve(t, (response) => json(response, 500, {}));
  const dependency = defineDependency({ name: "web" });
  const skill = defineSkill({ name: "test", handles, uses: [dependency], run: (context) => context.call(dependency, { method: "GET", path: "/" }) });
  await assert.rejects(
    makeHost(t, [skill]),
    /dependency 'web': expected a base URL in its definition or in dependencies.web.baseUrl of the configuration, got neither/,
  );
  await assert.rejects(
    makeHost(t, [skill], { numbered: ["web"], config: new Map([["web", { baseUrl: "ftp://x" }]]) }),
    /expected an absolute http: or https: URL, got "ftp:\/\/x"/,
  );
  const bundle = await makeHost(t, [skill], {
    numbered: ["other", "web"],
    config: new Map([["web", { baseUrl: url, retry: { attemptsMax: 2, baseDelayMs: undefined } }]]),
  });
  await bundle.run();
  assert.equal(received.length, 2);
});

/** A host with one skill that calls a dependency of its own making once. */
async function customHost(
  t: TestContext,
  request: (request: string, info: CallInfo) => Promise<string>,
  options: Partial<DependencyOptions> = {},
): Promise<HostBundle & { readonly seen: unknown[] }> {
  const dependency = defineDependency({ name: "own", retry: quickRetry, ...options, request });
  const seen: unknown[] = [];
  const run = async (context: SkillContext): Promise<void> => {
    seen.push(await context.call(dependency, "ping").catch((error: unknown) => error));
  };
  return Object.assign(await makeHost(t, [defineSkill({ name: "test", handles, uses: [dependency], run })]), { seen });
}

test("a dependency may be any function, told all that a callee needs", async (t) => {
  const infos: CallInfo[] = [];
  const bundle = await customHost(t, async (request, info) => {
    infos.push(info);
    return `${request} pong`;
  });
  await bundle.run();
  assert.deepEqual(bundle.seen, ["ping pong"]);
  const [info] = infos;
  assert.ok(info);
  const { checkMayAct, use: _use, settings: _settings, ...told } = info;
  assert.equal(typeof checkMayAct, "function");
  assert.deepEqual(
    { ...told, signal: info.signal.aborted, idempotencyKey: info.idempotencyKey.length },
    {
      idempotencyKey: 32,
      signal: false,
      eventId: envelope.eventId,
      step: undefined,
      epoch: 3,
      traceId: envelope.traceId,
      traceparent: `00-${traceIdOf(envelope.traceId)}-${deriveSpan(info.idempotencyKey, 1)}-00`,
      attempt: 1,
    },
  );
});

test("an open circuit fails a call at once and says nothing of its dependency; a half-open one lets it pass", async (t) => {
  let requests = 0;
  const bundle = await customHost(t, async () => `${(requests += 1)}`);
  Atomics.store(bundle.circuits, 0, 1);
  const { calls } = await bundle.run();
  const [error] = bundle.seen;
  assert.ok(error instanceof TransientError);
  assert.deepEqual([error.code, error.definite, requests, calls], ["CIRCUIT_OPEN", true, 0, []]);
  Atomics.store(bundle.circuits, 0, 2);
  await bundle.run();
  assert.equal(requests, 1);
});

test("calls of a dependency that rejected the run fail at once and say nothing of it; others go out", async (t) => {
  const requests: string[] = [];
  const dependencyOf = (name: string) =>
    defineDependency({
      name,
      request: async () => {
        requests.push(name);
        return name;
      },
    });
  const [full, free] = [dependencyOf("full"), dependencyOf("free")];
  const failures: unknown[] = [];
  const results: unknown[] = [];
  const skill = defineSkill({
    name: "test",
    handles,
    uses: [full, free],
    async run(context) {
      failures.push(await context.call(full, undefined as never).catch((error: unknown) => error));
      const fallbacks = [{ name: "other", quality: "degraded" as const, answer: (step: StepContext) => step.call(free, undefined as never) }];
      results.push(await context.step("ask", { kind: "atMostOnce", fallbacks }, (step) => step.call(full, undefined as never)));
    },
  });
  const bundle = await makeHost(t, [skill], { numbered: ["full", "free"], config: new Map() });
  const { answer, calls } = await bundle.run({ rejectedBy: [0] });
  const [error] = failures;
  assert.ok(error instanceof TransientError);
  assert.deepEqual([error.code, error.definite, error.dependency], ["BULKHEAD_FULL", true, "full"]);
  assert.deepEqual([answer.kind, results, requests, calls], ["completed", ["free"], ["free"], [{ dependency: "free", result: "succeeded" }]]);
  assert.equal(bundle.retries.taken, 0);
});

test("a call is retried as long as the worker's retry budget grants it, and asks only for a retry that it would make", async (t) => {
  let requests = 0;
  const bundle = await customHost(t, async () => {
    requests += 1;
    throw requests > 4 ? new PermanentError("no") : new TransientError("not now");
  });
  bundle.retries.allow(0, 1);
  await bundle.run();
  const [error] = bundle.seen;
  assert.ok(error instanceof TransientError);
  assert.deepEqual([error.message, requests, bundle.retries.taken, bundle.retries.refused], ["own: not now", 2, 1, 1]);
  bundle.retries.allow(1, 2);
  await bundle.run();
  assert.ok(bundle.seen[1] instanceof PermanentError);
  assert.deepEqual([requests, bundle.retries.taken, bundle.retries.refused], [5, 3, 1]);
});

test("pauses between tries are spread as the dependency says, like those between executions", async (t) => {
  // The host draws 0: only with full jitter is there no pause at all, and any other is longer than the call may take.
  for (const [jitter, tries] of [
    ["none", 1],
    ["equal", 1],
    ["decorrelated", 1],
    ["full", 2],
  ] as const) {
    let requests = 0;
    const request = async (): Promise<string> => {
      requests += 1;
      throw new TransientError("not now");
    };
    const bundle = await customHost(t, request, { retry: { attemptsMax: 2, baseDelayMs: 60_000, delayMaxMs: 60_000, jitter } });
    await bundle.run();
    assert.equal(requests, tries, jitter);
  }
});

test("what a function throws that does not say otherwise is transient with unknown outcome", async (t) => {
  const bundle = await customHost(t, async () => {
    throw new Error("odd");
  });
  const { calls } = await bundle.run();
  const [error] = bundle.seen;
  assert.ok(error instanceof TransientError);
  assert.deepEqual(
    [error.code, error.message, error.definite, error.dependency, calls],
    ["Error", "own: odd", false, "own", [{ dependency: "own", result: "failed" }]],
  );
});

test("a function that ignores its signal is left behind when the time is over", async (t) => {
  const bundle = await customHost(t, () => new Promise(() => undefined), { timeouts: { totalMs: 30, connectMs: 10 } });
  await bundle.run();
  const [error] = bundle.seen;
  assert.equal(error instanceof TransientError && error.code, "CALL_TIMEOUT");
});

test("a dependency that the skill does not name cannot be called", async (t) => {
  const declared = defineDependency({ name: "own", request: async () => 1 });
  const other = defineDependency({ name: "other", request: async () => 1 });
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, uses: [declared], run: (context) => context.call(other, undefined) })]);
  const { answer } = await bundle.run();
  assert.deepEqual(answer, {
    kind: "failed",
    failure: { code: "CALL_INVALID", message: "call: expected a dependency that the skill names in uses (own), got 'other'; add it to the skill's uses" },
    retryable: false,
  });
});

test("a call of a dependency that is not named says which one was probably meant", async (t) => {
  const declared = defineDependency({ name: "mailer", request: async () => 1 });
  const misspelt = defineDependency({ name: "mialer", request: async () => 1 });
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, uses: [declared], run: (context) => context.call(misspelt, undefined) })]);
  const { answer } = await bundle.run();
  assert.match(answer.kind === "failed" ? answer.failure.message : answer.kind, /\(mailer\), got 'mialer'; .*; did you mean 'mailer'\?$/);
});

test("the effect of a queryable step goes out under one key at every try; its query's calls are numbered apart, from the start each time", async (t) => {
  const { url, received } = await serve(t, (response, number) => json(response, number < 5 ? 503 : 200, {}));
  const dependency = httpOf(url, { retry: { attemptsMax: 1 } });
  const keys: string[] = [];
  const look = (step: StepContext): Promise<undefined> => {
    keys.push(step.idempotencyKey);
    step.emit("Looked", {});
    return step.call(dependency, { method: "GET", path: "/made" }).then(
      () => undefined,
      () => undefined,
    );
  };
  const run = (context: SkillContext): Promise<number> =>
    context.step("make", { kind: "queryable", query: look }, async (step) => {
      keys.push(step.idempotencyKey);
      step.emit("Made", {});
      await step.call(dependency, { method: "POST", path: "/" });
      return 1;
    });
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, uses: [dependency], run })]);
  await bundle.run();
  const steps = bundle.steps.slice();
  await bundle.run({ steps, attempt: 2 });
  const { answer } = await bundle.run({ steps, epoch: 4, attempt: 2 });
  assert.deepEqual(
    received.map(({ method }) => method),
    ["POST", "GET", "POST", "GET", "POST"],
  );
  const keysOf = (method: string): unknown[] => received.filter((one) => one.method === method).map(({ headers }) => headers["idempotency-key"]);
  assert.deepEqual(new Set(keysOf("POST")), new Set([keys[0]]));
  assert.equal(new Set(keys).size, 1);
  assert.equal(new Set([...keysOf("GET"), ...keysOf("POST")]).size, 3);
  const again = await bundle.run();
  const idsOf = ({ answer: one }: Pick<Answered, "answer">): string[] =>
    one.kind === "completed" ? one.outbox.filter(({ subject }) => subject === "Made").map(({ messageId }) => messageId) : [];
  assert.equal(idsOf(again).length, 1);
  assert.deepEqual(idsOf({ answer }), idsOf(again));
});

test("a call that waits behind another over one connection is not sent once its run may be another worker's", async (t) => {
  const first = Promise.withResolvers<ServerResponse>();
  const { url, received } = await serve(t, (response, number) => (number === 1 ? first.resolve(response) : json(response, 200, {})));
  const dependency = httpOf(url, { bulkhead: { concurrentMax: 1 } });
  const bundle = await makeHost(t, [
    defineSkill({
      name: "test",
      handles,
      uses: [dependency],
      run: (context) => Promise.all(["/first", "/second"].map((path) => context.call(dependency, { method: "POST", path }))),
    }),
  ]);
  const { answered } = bundle.begin();
  const response = await first.promise;
  // What a stop of the whole process is to this thread: time has passed, and no timer has come yet.
  bundle.skewMs += 61_000;
  json(response, 200, {});
  assert.deepEqual((await answered).answer, { kind: "stale" });
  // The connection is sound: the next run's call goes out over it.
  assert.equal((await bundle.run({ timeoutMs: 100_000 })).answer.kind, "completed");
  assert.deepEqual(
    received.map((one) => one.url),
    ["/first", "/first", "/second"],
  );
});

test("a call that waits for its connection is not sent once its run may be another worker's", async (t) => {
  const { url, received } = await serve(t, (response) => json(response, 200, {}));
  const dependency = httpOf(url);
  const bundle = await makeHost(t, [
    defineSkill({ name: "test", handles, uses: [dependency], run: (context) => context.call(dependency, { method: "POST", path: "/" }) }),
  ]);
  const { answered } = bundle.begin();
  bundle.skewMs += 61_000;
  assert.deepEqual((await answered).answer, { kind: "stale" });
  assert.equal(received.length, 0);
});

test("a call whose own time is over before it is sent is not sent, and it is certain that nothing happened", async (t) => {
  const { url, received } = await serve(t, (response) => json(response, 200, {}));
  const dependency = httpOf(url, { retry: { attemptsMax: 1 }, timeouts: { totalMs: 20_000 } });
  const errors: unknown[] = [];
  const run = (context: SkillContext): Promise<void> =>
    context.call(dependency, { method: "POST", path: "/" }).then(
      () => undefined,
      (error: unknown) => void errors.push(error),
    );
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, uses: [dependency], run })]);
  const { answered } = bundle.begin();
  bundle.skewMs += 20_000;
  await answered;
  const [error] = errors;
  assert.ok(error instanceof TransientError);
  assert.deepEqual([error.code, error.definite, received.length], ["CALL_TIMEOUT", true, 0]);
});

test("dependencies and the headers of calls may have names that every object knows", async (t) => {
  const { url, received } = await serve(t, (response) => json(response, 200, {}, Object.fromEntries(oddWords.map((name) => [name, "answered"]))));
  const dependencies = oddWords.map((name) => defineDependency({ name, baseUrl: url }));
  const headers = Object.fromEntries(oddNames.map((name) => [name, `sent ${name}`]));
  const answers: unknown[] = [];
  const run = async (context: SkillContext): Promise<void> => {
    for (const dependency of dependencies) answers.push((await context.call(dependency, { method: "GET", path: `/${dependency.name}`, headers })).headers);
  };
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, uses: dependencies, run })], { numbered: [], config: new Map() });
  assert.deepEqual(
    (await bundle.run()).calls,
    oddWords.map((name) => ({ dependency: name, result: "succeeded" })),
  );
  for (const { headers: got } of received)
    for (const name of oddNames) assert.equal(Object.getOwnPropertyDescriptor(got, name.toLowerCase())?.value ?? "sent __proto__", `sent ${name}`);
  for (const got of answers) for (const name of oddWords) assert.equal(Object.getOwnPropertyDescriptor(got, name.toLowerCase())?.value, "answered");
});

test("a circuit hears the classes of errors that count, and calls that were slow; of others nothing", async (t) => {
  const cases: readonly (readonly [circuit: NonNullable<DependencyOptions["circuit"]>, status: number, heard: string | undefined])[] = [
    [{}, 429, "failed"],
    [{ counts: ["unavailable"] }, 429, undefined],
    [{ counts: ["unavailable"] }, 503, "failed"],
    [{ counts: ["unavailable"] }, 404, "succeeded"],
    [{ counts: ["permanent"] }, 404, "failed"],
    [{ counts: [] }, 200, "succeeded"],
    [{ slowCallMs: 1 }, 200, "slow"],
    [{ slowCallMs: 1, counts: [] }, 503, "slow"],
  ];
  for (const [circuit, status, heard] of cases) {
    const { url } = await serve(t, (response) => {
      // The answer takes longer than the shortest call that is slow.
      setTimeout(() => json(response, status, {}), 5);
    });
    const dependency = httpOf(url, { circuit, retry: { attemptsMax: 1 } });
    const { calls } = await runWith(t, dependency, (context) => context.call(dependency, { method: "GET", path: "/" }).catch(() => undefined));
    assert.deepEqual(calls, heard === undefined ? [] : [{ dependency: "web", result: heard }], `${JSON.stringify(circuit)} ${status}`);
  }
});

test("a call that cannot be sent as it is says nothing of its dependency, neither that it serves nor how long it takes", async (t) => {
  const dependency = httpOf("http://127.0.0.1:1");
  const { calls, latenciesMs } = await runWith(t, dependency, (context) =>
    context.call(dependency, { method: "GET", path: "no-slash" }).catch(() => undefined),
  );
  assert.deepEqual([calls, [...latenciesMs]], [[], []]);
  const checked = httpOf("http://127.0.0.1:1", { schemas: { request: { type: "object" } } });
  const refused = await runWith(t, checked, (context) =>
    context
      .call(checked, { method: "POST", path: "/", body: "text" })
      .catch((error: unknown) => assert.equal((error as PermanentError).code, "REQUEST_INVALID")),
  );
  assert.deepEqual([refused.calls, [...refused.latenciesMs]], [[], []]);
});

test("how long a dependency takes is told by tries that were answered, that one of their own time-outs has ended, or that were slow; by no other", async (t) => {
  const failing = (code: string, definite = false) => new TransientError("no", { code, definite });
  const cases: readonly (readonly [name: string, tries: readonly (readonly [ms: number, error?: Error])[], toldMs: number | undefined, circuit?: object])[] = [
    ["an answer", [[1_000]], 1_000],
    ["a refusal", [[1_000, new PermanentError("no", { code: "HTTP_404" })]], 1_000],
    ["a failure", [[1_000, failing("HTTP_500")]], undefined],
    ["no connection", [[1_000, failing("ECONNREFUSED", true)]], undefined],
    ["no headers in time", [[1_000, failing("UND_ERR_HEADERS_TIMEOUT")]], 1_000],
    ["no connection of the pool in time", [[1_000, failing("CALL_TIMEOUT", true)]], undefined],
    ["a slow failure", [[1_000, failing("HTTP_500")]], 1_000, { slowCallMs: 1_000 }],
    ["an answer after a failure", [[1_000, failing("HTTP_503", true)], [200]], 200],
    ["an answer after a time-out", [[1_000, failing("UND_ERR_BODY_TIMEOUT")], [200]], 600],
  ];
  for (const [name, tries, toldMs, circuit = {}] of cases) {
    const service = defineDependency<string, string>({
      name: "service",
      circuit,
      retry: { ...quickRetry, attemptsMax: tries.length },
      request: async (_request, { attempt }) => {
        const [ms = 0, error] = tries[attempt - 1] ?? [];
        bundle.skewMs += ms;
        if (error !== undefined) throw error;
        return name;
      },
    });
    const run = (context: SkillContext): Promise<unknown> => context.call(service, name).catch(() => undefined);
    const bundle: HostBundle = await makeHost(t, [defineSkill({ name: "test", handles, uses: [service], run })]);
    bundle.stillAtMs = Math.ceil(performance.now());
    assert.equal((await bundle.run()).latenciesMs.get("service"), toldMs, name);
  }
});

test("a body that keeps coming in pieces is ended by bodyMs, though it never falls silent", async (t) => {
  const { url } = await serve(t, (response) => {
    response.writeHead(200, { "content-type": "text/plain" });
    response.write(".");
    const drip = setInterval(() => response.write("."), 1);
    response.on("close", () => clearInterval(drip));
  });
  const dependency = httpOf(url, { retry: { attemptsMax: 1 }, timeouts: { bodyMs: 200, idleMs: 200, totalMs: 8_000 } });
  const { error } = await errorOf(t, dependency);
  assert.deepEqual([error.code, error.definite], ["CALL_TIMEOUT", false]);
  assert.match(error.message, /within bodyMs \(200 ms\)/);
});
