// Forty wrong inputs and more, of each kind that a person gives: a configuration, a plugin's definitions, what a skill does in a run, a
// message; each with what must be in the message that its author sees.
import type { TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { parseConfig } from "#runtime/core/config.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import { type Dependency, type SkillContext, defineDependency, definePlugin, defineSkill } from "#runtime/index.ts";
import { decodeEvent } from "#runtime/skills/host/decode-event.ts";
import { makeHost } from "../skills/host.ts";
import { delivery, envelope, json, msgpack, routeHeaders } from "./event-messages.ts";

export interface WrongInput {
  readonly kind: "configuration" | "plugin" | "skill" | "message";
  readonly what: string;
  /** What its author is shown. */
  readonly shown: (t: TestContext) => string | Promise<string>;
  readonly says: RegExp;
}

const good = { sources: [{ queue: "input" }], serviceBus: { connectionString: "Endpoint=sb://localhost;SharedAccessKey=s3cret" }, plugins: ["./plugins/a"] };

function thrownBy(action: () => unknown): string {
  try {
    action();
  } catch (thrown) {
    return (thrown as Error).message;
  }
  return "nothing: it was accepted";
}

function configuration(what: string, changes: object, says: RegExp): WrongInput {
  return { kind: "configuration", what, shown: () => thrownBy(() => parseConfig({ ...good, ...changes }, "holdfast.config.ts")), says };
}

function plugin(what: string, define: () => unknown, says: RegExp): WrongInput {
  return { kind: "plugin", what, shown: () => thrownBy(define), says };
}

const handles = [{ eventType: envelope.eventType }];
const run = (): void => undefined;
/** The options as somebody writes them who has no types. */
const skillWith = (options: object) => (): unknown => defineSkill({ name: "greet", handles, run, ...options });
const dependencyWith = (options: object) => (): unknown => defineDependency({ name: "mailer", baseUrl: "https://mail.example.com", ...options });

function skill(what: string, run: (context: SkillContext) => unknown, says: RegExp, uses: readonly Dependency[] = []): WrongInput {
  const shown = async (t: TestContext): Promise<string> => {
    const { answer } = await (await makeHost(t, [defineSkill({ name: "greet", handles, uses, run })])).run();
    return answer.kind === "failed" ? answer.failure.message : `nothing: it ${answer.kind}`;
  };
  return { kind: "skill", what, shown, says };
}

function message(what: string, sent: Delivery, says: RegExp): WrongInput {
  const shown = (): string => {
    const routed = readRoute(sent, defaultDecodeLimits);
    const read = routed.ok ? decodeEvent({ ...routed, body: sent.body, enqueuedAtMs: sent.enqueuedAtMs }, defaultDecodeLimits) : routed;
    return read.ok ? "nothing: it was accepted" : `${read.invalid.reason}: ${read.invalid.description}`;
  };
  return { kind: "message", what, shown, says };
}

function without(...fields: readonly string[]): Uint8Array {
  return json(Object.fromEntries(Object.entries(envelope).filter(([name]) => !fields.includes(name))));
}

const gzip = { contentEncoding: "gzip" };

class Order {
  readonly id = 1;
}

const local = defineDependency({ name: "local", request: async () => 1 });
const http = defineDependency({ name: "payments", baseUrl: "http://127.0.0.1:9", retry: { attemptsMax: 1 } });

export const wrongInputs: readonly WrongInput[] = [
  configuration("a key that is spelt wrong", { inflightMax: 5 }, /inflightMax: unknown key; did you mean 'inFlightMax'\?/),
  configuration("a key that no one knows", { colour: "red" }, /colour: unknown key; check its spelling or remove it/),
  configuration("a number out of its range", { inFlightMax: 0 }, /inFlightMax: expected number to be >=1, got 0/),
  configuration("a time as text", { retentionMs: "7d" }, /retentionMs: expected .*milliseconds.*got "7d"/),
  configuration("a part of a millisecond", { stopBudgetMs: 2.5 }, /stopBudgetMs: .*milliseconds/),
  configuration("no source", { sources: [] }, /sources: expected/),
  configuration(
    "a source that is queue and topic at once",
    { sources: [{ queue: "q", topic: "t", subscription: "s" }] },
    /sources\.0: expected either queue, or topic .*; keep one of the two/,
  ),
  configuration("a subscription without a retry queue", { sources: [{ topic: "t", subscription: "s" }] }, /sources\.0\.retryQueue: expected/),
  configuration("a queue that is a number", { sources: [{ queue: 5 }] }, /sources\.0\.queue: expected .*got 5/),
  configuration("the consumer of before", { consumer: { queue: "q" } }, /consumer: unknown key; write `sources: .*` in its place/),
  configuration(
    "neither a connection string nor a namespace",
    { serviceBus: {} },
    /serviceBus: expected either connectionString, or fullyQualifiedNamespace, got nothing/,
  ),
  configuration("an unknown kind of store", { store: { kind: "postgres" } }, /store\.kind: expected 'sqlite' or 'redis', got "postgres"/),
  configuration("a Redis address that is none", { store: { kind: "redis", url: "http://cache:6379" } }, /store\.url: expected redis:\/\/… or rediss:\/\/…/),
  configuration("plugins that are no list", { plugins: "./plugins/a" }, /plugins: expected .*got "\.\/plugins\/a"/),
  configuration(
    "a bulkhead's key that is spelt wrong",
    { dependencies: { mailer: { bulkhaed: {} } } },
    /mailer\.bulkhaed: unknown key; did you mean 'bulkhead'\?/,
  ),
  configuration("a skill's settings as a list", { skills: [] }, /skills: expected an object, got \[\]/),

  plugin("no event types", skillWith({ handles: [] }), /skill 'greet'\.handles: expected at least one \{ eventType, versions \}, got \[\]/),
  plugin("version in place of versions", skillWith({ handles: [{ eventType: "A", version: "1.x" }] }), /got 'version'; did you mean 'versions'\?/),
  plugin("an event type with a space", skillWith({ handles: [{ eventType: "a b" }] }), /handles\[0\]\.eventType: expected .*, got "a b"/),
  plugin("timeout in place of timeoutMs", skillWith({ timeout: 5 }), /got 'timeout'; did you mean 'timeoutMs'\?/),
  plugin("a time as text", skillWith({ timeoutMs: "5s" }), /timeoutMs: expected a whole number from 1 to 3600000, got "5s"/),
  plugin("a retry policy without end", skillWith({ retry: { attemptsMax: 1_000 } }), /retry\.attemptsMax: expected a whole number from 1 to 20, got 1000/),
  plugin("neither run nor steps", skillWith({ run: undefined }), /expected either run or steps, got "neither"/),
  plugin("a dependency by its name", skillWith({ uses: ["mailer"] }), /uses: expected dependencies made by defineDependency, got "mailer"/),
  plugin("a payload that is no schema", skillWith({ payload: 7 }), /payload: expected a Standard Schema validator or a JSON Schema object, got 7/),
  plugin("a base URL without a scheme", dependencyWith({ baseUrl: "mail.example.com" }), /dependency 'mailer'\.baseUrl: expected .*http.*got/),
  plugin("a bulkhead without room", dependencyWith({ bulkhead: { concurrentMax: 0 } }), /bulkhead\.concurrentMax: expected a whole number from 1/),
  plugin(
    "a skill that uses what the plugin does not bring",
    () => definePlugin({ skills: [defineSkill({ name: "greet", handles, run, uses: [local] })] }),
    /expected dependency 'local', which skill 'greet' uses, in its dependencies, got none/,
  ),

  skill(
    "returns a function from a step",
    (context) => context.step("load", {}, () => () => 1),
    /step 'load': .*result: expected data \(leave functions out\), got a function/,
  ),
  skill(
    "returns an instance of a class from a step",
    (context) => context.step("load", {}, () => new Order()),
    /return its fields in an object of their own.*got "an instance of Order"/,
  ),
  skill(
    "leaves a promise inside a step's result",
    (context) => context.step("load", {}, () => ({ user: Promise.resolve(1) })),
    /result\.user: expected data \(await the promise first\), got a promise/,
  ),
  skill("emits a BigInt", (context) => context.emit("Next", { n: 5n }), /payload\.n: expected a value of JSON \(a bigint as text, String\(it\)\), got 5n/),
  skill(
    "does not await a step",
    (context) => void context.step("charge", {}, () => new Promise(() => undefined)),
    /expected the skill to wait for its step 'charge'.*write await before the step/,
  ),
  skill(
    "forgets a step's effect",
    (context) => context.step("charge", {}, undefined as never),
    /step 'charge': expected its effect, a function, as the last argument, got undefined/,
  ),
  skill(
    "throws what is no Error",
    () => Promise.reject(Object.assign(Object.create(null) as object, { code: 42 })),
    /expected an Error to be thrown, got \{"code":42\}/,
  ),
  skill(
    "throws an AggregateError",
    () => Promise.reject(new AggregateError([new Error("one"), new Error("two")], "all failed")),
    /all failed: \[1\] one; \[2\] two/,
  ),
  skill("throws an error with a cause", () => Promise.reject(new Error("no order", { cause: new Error("ECONNREFUSED") })), /no order; caused by: ECONNREFUSED/),
  skill(
    "calls what is not in uses",
    (context) => context.call(local, undefined),
    /expected a dependency that the skill names in uses \(none\), got 'local'; add it to the skill's uses/,
  ),
  skill(
    "calls a path without a leading slash",
    (context) => context.call(http, { method: "GET", path: "charges" }),
    /payments: expected a path that begins with '\/', got "charges"/,
    [http],
  ),
  skill(
    "sends a body that JSON cannot say",
    (context) => context.call(http, { method: "POST", path: "/a", body: { n: 5n } }),
    /payments: expected a body that JSON can say/,
    [http],
  ),
  skill(
    "calls a server that is not there",
    (context) => context.call(http, { method: "GET", path: "/" }),
    /payments: expected http:\/\/127\.0\.0\.1:9 to answer, found .*; check that it is up/,
    [http],
  ),

  message("no JSON at all", delivery(Buffer.from("hello")), /^InvalidEnvelope: body: expected a JSON object/),
  message("no eventId", delivery(without("eventId")), /^InvalidEnvelope: eventId: expected a string of 1 to 128 characters .*, got nothing/),
  message("no event type", delivery(without("eventType")), /^InvalidEnvelope: eventType: expected .*, got nothing/),
  message("no trace id", delivery(without("traceId")), /^InvalidEnvelope: traceId: expected .*, got nothing/),
  message("a version that is none", delivery(json({ ...envelope, version: "newest" })), /version: expected a string 'major\.minor' of digits/),
  message("a timestamp that is none", delivery(json({ ...envelope, timestamp: "yesterday" })), /timestamp: expected an ISO 8601 time that exists/),
  message(
    "another eventId in its properties than in its body",
    delivery(json({ ...envelope, eventId: "other" }), routeHeaders),
    /eventId: expected the same in the message's properties and its body/,
  ),
  message("a list of events", delivery(json([envelope, envelope])), /expected one event \(send each as a message of its own\)/),
  message("is compressed, without the properties that say so", delivery(gzipSync(json(envelope))), /^InvalidEnvelope: /),
  message(
    "is compressed, without the properties that route it",
    delivery(gzipSync(json(envelope)), gzip),
    /expected the application properties eventId, eventType and version/,
  ),
  message("says gzip and is not", delivery(json(envelope), { ...routeHeaders, ...gzip }), /gzip/),
  message(
    "grows past the bound when it is unpacked",
    delivery(gzipSync(Buffer.alloc(8_000_000)), { ...routeHeaders, ...gzip }),
    /^BodyTooLarge: body: expected at most .* bytes when decompressed/,
  ),
  message("a codec that no one knows", delivery(msgpack(envelope), { contentEncoding: "zstd7" }), /expected gzip, deflate, br or identity/),
  message(
    "is nested too deep",
    delivery(Buffer.from(`{"payload":${"[".repeat(200)}${"]".repeat(200)}}`)),
    /^DecodeLimit: body: expected a depth of at most 64/,
  ),
];
