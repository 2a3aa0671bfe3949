import { strict as assert } from "node:assert";
import { test } from "node:test";
import { oddNames } from "../support/odd-names.ts";
import { type ConfigInput, parseConfig } from "#runtime/core/config.ts";

const good: ConfigInput = {
  sources: [{ queue: "input" }],
  serviceBus: { connectionString: "Endpoint=sb://localhost;SharedAccessKey=s3cret" },
  plugins: ["./plugins/a"],
};

function refusal(input: unknown): string {
  try {
    parseConfig(input, "holdfast.config.json");
  } catch (error) {
    assert.equal((error as { code?: unknown }).code, "HOLDFAST_CONFIGURATION");
    return (error as Error).message;
  }
  return assert.fail("expected the configuration to be refused");
}

test("fills in the defaults", () => {
  const config = parseConfig(good, "holdfast.config.json");
  assert.deepEqual(config.store, { kind: "sqlite", path: ".holdfast/runs.sqlite" });
  assert.deepEqual([config.inFlightMax, config.deliveriesMax, config.bodyBytesMax], [10_000, 9, 262_144]);
  assert.deepEqual([config.pluginRoots, config.transport], [["."], "amqp"]);
});

test("by default a stop, and the forced end five seconds later, leave a margin of the usual 30 s of grace", () => {
  assert.ok(parseConfig(good, "holdfast.config.json").stopBudgetMs + 5_000 <= 25_000);
});

test("names the file, the key, what was expected and what was found", () => {
  assert.equal(refusal({ ...good, inFlightMax: 0 }), "holdfast.config.json: inFlightMax: expected number to be >=1, got 0");
});

test("refuses unknown keys at every level", () => {
  assert.match(refusal({ ...good, inflightMax: 5 }), /inflightMax: unknown key/);
  assert.match(
    refusal({ ...good, dependencies: { mailer: { bulkhead: { whenFull: "drop" } } } }),
    /dependencies\.mailer\.bulkhead\.whenFull: expected .*"postpone"\|"reject", got "drop"/,
  );
  assert.match(refusal({ ...good, dependencies: { mailer: { bulkhead: { concurrent: 5 } } } }), /dependencies\.mailer\.bulkhead\.concurrent: unknown key/);
  assert.match(refusal({ ...good, store: { kind: "sqlite", path: "x", url: "y" } }), /store\.url: unknown key/);
});

test("names the key that an unknown one was probably meant to be", () => {
  assert.match(refusal({ ...good, inflightMax: 5 }), /inflightMax: unknown key; did you mean 'inFlightMax'\?$/);
  assert.match(refusal({ ...good, zzz: 5 }), /zzz: unknown key; check its spelling or remove it$/);
  assert.match(refusal({ ...good, dependencies: { mailer: { bulkhaed: {} } } }), /mailer\.bulkhaed: unknown key; did you mean 'bulkhead'\?$/);
  assert.match(refusal({ ...good, store: { kind: "sqlite", paht: "x", path: "y" } }), /store\.paht: unknown key; did you mean 'path'\?/);
  assert.match(refusal({ ...good, serviceBus: { connectionString: "x", webSocket: true } }), /webSocket: unknown key; did you mean 'webSockets'\?/);
});

test("takes envelope hooks, each with a name of its own and a function", () => {
  const hook = { name: "own", read: () => undefined };
  assert.deepEqual(parseConfig({ ...good, envelopes: [hook] }, "c").envelopes, [hook]);
  assert.deepEqual([parseConfig(good, "c").envelopes, parseConfig(good, "c").envelopeDefaults], [[], true]);
  assert.match(refusal({ ...good, envelopes: [{ name: "own" }] }), /envelopes\.0\.read: expected a function/);
  assert.match(refusal({ ...good, envelopes: [{ ...hook, name: "a b" }] }), /envelopes\.0\.name: expected 1 to 64 characters/);
  assert.match(refusal({ ...good, envelopes: [hook, hook] }), /envelopes\.1\.name: expected each envelope hook to have a name of its own/);
});

test("watches how long runs take by default, and refuses what cannot be said of that", () => {
  assert.deepEqual(parseConfig(good, "c").latencyWatch, { enabled: true, factor: 2, differenceMinMs: 10, action: "hold-back" });
  assert.deepEqual(parseConfig({ ...good, latencyWatch: { factor: 1.5, action: "report" } }, "c").latencyWatch, {
    enabled: true,
    factor: 1.5,
    differenceMinMs: 10,
    action: "report",
  });
  assert.match(refusal({ ...good, latencyWatch: { factor: 1 } }), /latencyWatch\.factor: expected .*1\.1, got 1/);
  assert.match(
    refusal({ ...good, latencyWatch: { act: "report" } }),
    /latencyWatch\.act: unknown key; expected one of enabled, factor, differenceMinMs, action$/,
  );
});

test("refuses wrong units: durations are whole milliseconds", () => {
  assert.match(refusal({ ...good, retentionMs: "7d" }), /retentionMs: expected .*milliseconds.*got "7d"/);
  assert.match(refusal({ ...good, stopBudgetMs: 2.5 }), /stopBudgetMs: .*milliseconds/);
});

test("says what to write in place of the old consumer", () => {
  const { sources: _sources, ...others } = good;
  assert.match(
    refusal({ ...others, consumer: { queue: "input" } }),
    /^holdfast\.config\.json: consumer: unknown key; write `sources: \[\{"queue":"input"\}\]` in its place$/,
  );
  assert.match(refusal({ ...others, sources: [] }), /sources: expected .*1/);
});

test("refuses impossible combinations", () => {
  assert.match(
    refusal({ ...good, dependencies: { mailer: { timeouts: { connectMs: 500, totalMs: 100 } } } }),
    /dependencies\.mailer\.timeouts: expected connectMs at most totalMs \(100\), got 500/,
  );
  assert.match(
    refusal({ ...good, sources: [{ topic: "t", subscription: "s" }] }),
    /^holdfast\.config\.json: sources\.0\.retryQueue: expected a queue for the copies .*; make one .* write retryQueue: 'ITS-NAME', got nothing$/,
  );
  assert.match(
    refusal({ ...good, serviceBus: { ...good.serviceBus, webSockets: true } }),
    /serviceBus\.webSockets: expected transport 'sdk' beside it, for 'amqp' does not speak them, got true/,
  );
});

test("of sources that read the same, the one mistake is named, and which part of the other source it is", () => {
  const topic = { topic: "t", subscription: "s", retryQueue: "r" };
  const cases: readonly (readonly [sources: readonly object[], message: string])[] = [
    [[{ queue: "a" }, { queue: "a" }], 'sources.1: expected something that sources.0 does not read, got {"queue":"a"}'],
    [[topic, topic], 'sources.1: expected something that sources.0 does not read, got {"topic":"t","subscription":"s","retryQueue":"r"}'],
    [
      [topic, { queue: "r" }],
      'sources.1: expected something other than the retryQueue of sources.0, which is read already, as a part of that source, got {"queue":"r"}',
    ],
    [[{ queue: "r" }, topic], 'sources.1.retryQueue: expected something that sources.0 does not read, got "r"'],
    [[{ queue: "a", name: "b" }, { queue: "b" }], "sources.1.name: expected another name than 'b', which sources.0 has, got nothing"],
  ];
  for (const [sources, message] of cases) assert.equal(refusal({ ...good, sources }), `holdfast.config.json: ${message}`);
});

test("reports every mistake at once", () => {
  const message = refusal({ ...good, inFlightMax: -1, threads: 0, colour: "red" });
  for (const key of ["inFlightMax", "threads", "colour"]) assert.match(message, new RegExp(key));
});

test("a store on Redis is refused what does not go together, and what it cannot be", () => {
  const refused = (store: object): string => refusal({ ...good, store: { kind: "redis", url: "redis://host", ...store } });
  const cases: readonly (readonly [store: object, message: RegExp])[] = [
    [{ cluster: true, sentinel: { master: "orders" } }, /store\.sentinel: expected either cluster or sentinel, got both/],
    [{ nodes: ["other:6379"] }, /store\.nodes: expected cluster or sentinel beside it, got neither/],
    [{ caFile: "ca.pem" }, /store\.caFile: expected a URL with rediss:\/\/ beside it, got redis:\/\//],
    [{ entraId: true }, /store\.entraId: expected a URL with rediss:\/\/ beside it, got redis:\/\/: a token is as good as a password/],
    [{ cluster: true, nodes: ["other"] }, /store\.nodes\[?\.?0\]?: expected HOST:PORT/],
    [{ cluster: true, nodes: [] as string[], hashTags: 0 }, /store\.hashTags: expected .*1/],
    [{ hashTags: 257 }, /store\.hashTags: expected .*256/],
    [{ sentinel: {} }, /store\.sentinel\.master: expected/],
    [{ sentinel: { master: "" } }, /store\.sentinel\.master: expected/],
    [{ sentinel: { master: "orders", pasword: "x" } }, /store\.sentinel\.pasword: unknown key; did you mean 'password'\?/],
    [{ prefix: "a b" }, /store\.prefix: expected 1 to 64 characters of A-Z a-z 0-9 : _ -/],
    [{ commandTimeoutMs: 49 }, /store\.commandTimeoutMs: expected .*50/],
    [{ clustre: true }, /store\.clustre: unknown key; did you mean 'cluster'\?/],
  ];
  for (const [store, message] of cases) assert.match(refused(store), message);
  for (const store of [
    { cluster: true, nodes: ["one:6379", "[::1]:7000"], hashTags: 256 },
    { sentinel: { master: "orders", password: "secret" }, nodes: ["one:26379"] },
    { url: "rediss://host", caFile: "ca.pem", entraId: true, prefix: "a:b_c-1", commandTimeoutMs: 50 },
  ]) {
    const accepted = { kind: "redis", url: "redis://host", ...store };
    assert.deepEqual(parseConfig({ ...good, store: accepted }, "test").store, accepted);
  }
});

test("keeps secrets out of its messages", () => {
  const message = refusal({ ...good, serviceBus: { connectionString: 5 }, store: { kind: "redis", url: "http://:s3cret@host" } });
  assert.match(message, /store\.url: expected redis:\/\/… or rediss:\/\/…, got text of 19 characters/);
  assert.doesNotMatch(message, /s3cret/);
});

test("a __proto__ key is refused like any unknown key, and pollutes nothing", () => {
  assert.match(
    refusal(JSON.parse('{"sources":[{"queue":"a"}],"serviceBus":{"connectionString":"x"},"plugins":["p"],"__proto__":{"polluted":true}}')),
    /__proto__/,
  );
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test("event types, skills and dependencies may have any name, also one that every object knows", () => {
  for (const name of oddNames) {
    const config = parseConfig(
      JSON.parse(
        JSON.stringify(good).replace(
          /}$/,
          `,"publish":{"entity":"a","byEventType":{"${name}":"b"}},"skills":{"${name}":{"timeoutMs":7}},"dependencies":{"${name}":{"baseUrl":"http://x"}}}`,
        ),
      ),
      "c",
    );
    assert.deepEqual([...(config.publish?.byEventType ?? [])], [[name, "b"]]);
    assert.deepEqual([...config.skills], [[name, { timeoutMs: 7 }]]);
    assert.deepEqual([...config.dependencies], [[name, { baseUrl: "http://x" }]]);
    assert.match(
      refusal({ ...good, publish: { entity: "a", byEventType: JSON.parse(`{"${name}":""}`) as never } }),
      new RegExp(`publish\\.byEventType\\.${name}: expected the name of a queue.*got ""`),
    );
  }
  assert.match(refusal({ ...good, skills: [] }), /skills: expected an object, got \[\]/);
});

test("takes limits of a dependency in place of the plugin's, and refuses what cannot be meant", () => {
  const withLimits = (limits: unknown): unknown => ({ ...good, dependencies: { model: { limits } } });
  const limits = [{ by: "tenant", requestsPerMinute: 60, tokensPerMinute: 90_000, burstMs: 1_000 }, { requestsPerMinute: 600 }];
  assert.deepEqual(parseConfig(withLimits(limits), "c").dependencies.get("model")?.limits, limits);
  assert.match(refusal(withLimits([{ by: "user", requestsPerMinute: 1 }])), /dependencies\.model\.limits\.0\.by: /);
  assert.match(refusal(withLimits([{ requestsPerMin: 1 }])), /requestsPerMin: unknown key; did you mean 'requestsPerMinute'\?/);
  assert.match(
    refusal(withLimits([{ burstMs: 1 }])),
    /dependencies\.model\.limits: expected requestsPerMinute or tokensPerMinute in each limit, got neither in number 1/,
  );
  assert.match(refusal(withLimits([{ requestsPerMinute: 1 }, { tokensPerMinute: 1 }])), /expected one limit for each value of by, got two without by/);
  assert.match(refusal(withLimits([{ requestsPerMinute: 1, burstMs: 60_001 }])), /burstMs: expected number to be <=60000 .*got 60001/);
  assert.match(refusal({ ...good, dependencies: { model: { estimatedTokens: 1.5 } } }), /estimatedTokens: /);
});

test("takes bounds for a concurrency that is adaptive", () => {
  const withConcurrency = (concurrency: unknown): unknown => ({ ...good, dependencies: { model: { concurrency } } });
  const concurrency = { mode: "adaptive", min: 2, max: 64 };
  assert.deepEqual(parseConfig(withConcurrency(concurrency), "c").dependencies.get("model")?.concurrency, concurrency);
  assert.match(refusal(withConcurrency({ ...concurrency, min: 65 })), /dependencies\.model\.concurrency\.min: expected at most max/);
  assert.match(refusal(withConcurrency({ ...concurrency, mode: "fixed" })), /dependencies\.model\.concurrency\.mode: /);
});
