// Whatever a skill throws, returns or passes on: its run ends at once, with words that a person can act on.
import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { type Dependency, type SkillContext, defineDependency, defineSkill } from "../../runtime/index.ts";
import { envelope } from "../support/event-messages.ts";
import { makeHost } from "./host.ts";

const handles = [{ eventType: envelope.eventType }];

/** How a skill's run fails, with its code; within a moment, or the test fails. */
async function failureOf(
  t: TestContext,
  run: (context: SkillContext) => unknown,
  uses: readonly Dependency[] = [],
): Promise<{ readonly code: string; readonly message: string; readonly dependency?: string }> {
  const { answer } = await (await makeHost(t, [defineSkill({ name: "test", handles, uses, run })])).run();
  assert.equal(answer.kind, "failed");
  return answer.kind === "failed" ? answer.failure : { code: "", message: "" };
}

class Hostile extends Error {
  override get message(): string {
    throw new Error("message");
  }
  override get stack(): string {
    throw new Error("stack");
  }
  override get name(): string {
    throw new Error("name");
  }
  get code(): string {
    throw new Error("code");
  }
  get retryable(): boolean {
    throw new Error("retryable");
  }
}

const refusal = (): never => {
  throw new Error("trap");
};
const traps = { get: refusal, has: refusal, getPrototypeOf: refusal, ownKeys: refusal, getOwnPropertyDescriptor: refusal };

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

function circular(): object {
  const made: Record<string, unknown> = { code: 42 };
  made["self"] = made;
  return made;
}

function causedByItself(): Error {
  const made = new Error("loop");
  made.cause = made;
  return made;
}

const thrown: readonly (readonly [what: string, value: unknown, message: RegExp])[] = [
  ["undefined", undefined, /^expected an Error to be thrown, got undefined$/],
  ["null", null, /got null$/],
  ["a plain object", { code: 42 }, /^expected an Error to be thrown, got \{"code":42\}$/],
  ["a plain object with a secret", { password: "hunter2" }, /"password":\[redacted\]/],
  ["a text", "text", /^text$/],
  ["a symbol", Symbol("s"), /got Symbol\(s\)$/],
  ["a bigint", 5n, /got 5n$/],
  ["a function", () => 1, /got a function$/],
  ["a promise", Promise.resolve(1), /got a promise; await it first$/],
  ["an object without a prototype", Object.assign(Object.create(null) as object, { a: 1 }), /got \{"a":1\}$/],
  ["a circular object", circular(), /got \{"code":42,"self":/],
  ["an object that no text can be made of", { toString: refusal, [Symbol.toPrimitive]: refusal }, /got \{"toString":"\[function\]"\}$/],
  ["a getter that throws", Object.defineProperty({}, "a", { get: refusal, enumerable: true }), /got \{"a":"\[unreadable\]"\}$/],
  ["a proxy whose traps throw", new Proxy({}, traps), /\[unreadable\]/],
  ["a proxy of an error whose traps throw", new Proxy(new Error("x"), traps), /\[unreadable\]/],
  ["a revoked proxy", revoked({}), /\[unreadable\]/],
  ["a revoked proxy of an error", revoked(new Error("x")), /\[unreadable\]/],
  ["an error whose every field throws", new Hostile(), /^an error whose message cannot be read$/],
  ["an error whose message is an object", Object.assign(new Error("x"), { message: { a: 1 } }), /^\{"a":1\}$/],
  ["an error without a message", new TypeError(""), /^TypeError without a message$/],
  ["a frozen error", Object.freeze(new Error("frozen")), /^frozen$/],
  ["a huge error", new Error("x".repeat(5_000_000)), /^x{800}…$/],
  ["an error that is its own cause", causedByItself(), /^loop$/],
  ["an AggregateError", new AggregateError([new Error("one"), new TypeError("two"), 3], "all failed"), /^all failed: \[1\] one; \[2\] two; \[3\] 3$/],
  ["an error that holds a list whose length is no number", Object.assign(new Error("x"), { errors: new Proxy([], { get: () => Symbol("length") }) }), /^x$/],
  [
    "an AggregateError of the net",
    new AggregateError([new Error("connect ECONNREFUSED ::1:80"), new Error("connect ECONNREFUSED 127.0.0.1:80")]),
    /without a message: \[1\] connect ECONNREFUSED ::1:80; \[2\] connect/,
  ],
  [
    "a chain of causes",
    new Error("no order", { cause: new Error("fetch failed", { cause: new Error("connect ECONNREFUSED") }) }),
    /^no order; caused by: fetch failed; caused by: connect ECONNREFUSED$/,
  ],
  [
    "a cause that the message repeats",
    new Error("saved: disk full", { cause: new Error("disk full", { cause: new Error("ENOSPC") }) }),
    /^saved: disk full; caused by: ENOSPC$/,
  ],
];

for (const [what, value, message] of thrown) {
  test(`a run ends at once, and says what was thrown, when its skill throws ${what}`, async (t) => {
    assert.match(
      (
        await failureOf(t, () => {
          throw value;
        })
      ).message,
      message,
    );
    assert.match((await failureOf(t, () => Promise.reject(value))).message, message);
    assert.match(
      (
        await failureOf(t, (context) =>
          context.step("a", {}, () => {
            throw value;
          }),
        )
      ).message,
      message,
    );
    const local = defineDependency({ name: "local", retry: { attemptsMax: 1 }, request: () => Promise.reject(value) });
    assert.ok((await failureOf(t, (context) => context.call(local, undefined), [local])).message.startsWith("local: "));
  });
}

test("a run ends at once when reading what its skill returned throws", async (t) => {
  const name = ["th", "en"].join("");
  assert.equal((await failureOf(t, () => Object.defineProperty({}, name, { get: refusal }))).message, "trap");
  assert.equal((await failureOf(t, () => Object.fromEntries([[name, refusal]]))).message, "trap");
  assert.equal((await failureOf(t, () => Object.defineProperty(Promise.resolve(), "constructor", { get: refusal }))).message, "trap");
});

test("what an error names as its dependency is kept where it is the name of one", async (t) => {
  const kept = async (dependency: unknown): Promise<unknown> =>
    (await failureOf(t, () => Promise.reject(Object.assign(new Error("x"), { dependency })))).dependency;
  assert.equal(await kept("mailer"), "mailer");
  assert.deepEqual([await kept("x".repeat(65)), await kept("two words"), await kept(1)], [undefined, undefined, undefined]);
});

test("a promise with a `then` of its own is waited for as any other promise is", async (t) => {
  const name = ["th", "en"].join("");
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, run: () => Object.assign(Promise.resolve(), { [name]: refusal }) })]);
  assert.equal((await bundle.run()).answer.kind, "completed");
  assert.equal((await failureOf(t, () => Object.assign(Promise.reject(new Error("own")), { [name]: refusal }))).message, "own");
});

test("a log call with fields that cannot be read writes the rest of them", async (t) => {
  const bundle = await makeHost(t, [
    defineSkill({ name: "test", handles, run: (context) => context.log.info("x", Object.defineProperty({ a: 1 }, "b", { get: refusal, enumerable: true })) }),
  ]);
  assert.equal((await bundle.run()).answer.kind, "completed");
});

class Order {
  readonly id = 1;
}

const results: readonly (readonly [what: string, value: unknown, message: RegExp])[] = [
  ["a function", () => 1, /result: expected data \(leave functions out\), got a function$/],
  ["a function inside", { list: [{ run: () => 1 }] }, /result\.list\[0\]\.run: expected data \(leave functions out\)/],
  ["a promise inside", { user: Promise.resolve(1) }, /result\.user: expected data \(await the promise first\), got a promise$/],
  [
    "an instance of a class",
    new Order(),
    /result: expected plain data \(return its fields in an object of their own, as \{ \.\.\.it \}\), got "an instance of Order"$/,
  ],
  ["an instance in a map", new Map([["a", new Order()]]), /an entry of a Map: expected plain data/],
  ["a symbol", Symbol("s"), /result: expected data .*Symbol\(s\)/],
  ["a getter that throws", Object.defineProperty({}, "a", { get: refusal, enumerable: true }), /cannot be kept: trap$/],
];

for (const [what, value, message] of results) {
  test(`a step that returns ${what} fails for good, and says where it is and what to do`, async (t) => {
    const failure = await failureOf(t, (context) => context.step("load", {}, () => value));
    assert.equal(failure.code, "STEP_RESULT");
    assert.match(failure.message, /^step 'load': expected a result of plain data, got one that cannot be kept: /);
    assert.match(failure.message, message);
  });
}

test("a step may return dates, bytes, maps, sets, bigints and what refers to itself", async (t) => {
  const value = { at: new Date(0), bytes: Buffer.from("x"), map: new Map([[1, new Set([2n])]]), none: undefined, bare: Object.create(null) as object };
  const bundle = await makeHost(t, [
    defineSkill({ name: "test", handles, run: (context) => context.step("load", {}, () => Object.assign(value, { self: value })) }),
  ]);
  assert.equal((await bundle.run()).answer.kind, "completed");
});

const payloads: readonly (readonly [what: string, value: unknown, message: RegExp])[] = [
  ["a bigint", { n: 5n }, /^emit: payload\.n: expected a value of JSON \(a bigint as text, String\(it\)\), got 5n$/],
  ["a promise", { user: Promise.resolve(1) }, /^emit: payload\.user: expected a value of JSON \(await the promise first\), got a promise$/],
  ["an instance of a class", [new Order()], /^emit: payload\[0\]: expected a value of JSON .*got "an instance of Order"$/],
  ["an error", { error: new Error("x") }, /^emit: payload\.error: expected a value of JSON .*got "an instance of Error"$/],
];

for (const [what, value, message] of payloads) {
  test(`an emit of ${what} fails for good, and says where it is and what to do`, async (t) => {
    const failure = await failureOf(t, (context) => context.emit("Next", value));
    assert.equal(failure.code, "EMIT_INVALID");
    assert.match(failure.message, message);
  });
}

test("a skill that ends before its step does fails, with the step's name and what to do", async (t) => {
  const failure = await failureOf(t, (context) => void context.step("charge", {}, () => new Promise(() => undefined)));
  assert.equal(failure.message, "expected the skill to wait for its step 'charge', it returned before; write await before the step");
});

test("a step without an effect is refused, with what is wanted", async (t) => {
  const failure = await failureOf(t, (context) => context.step("charge", {}, undefined as never));
  assert.equal(failure.message, "step 'charge': expected its effect, a function, as the last argument, got undefined");
});

test("a call of a dependency that the skill does not use is refused, with what to do", async (t) => {
  const local = defineDependency({ name: "local", request: async () => 1 });
  assert.equal(
    (await failureOf(t, (context) => context.call(local, undefined as never))).message,
    "call: expected a dependency that the skill names in uses (none), got 'local'; add it to the skill's uses",
  );
  assert.match((await failureOf(t, (context) => context.call(undefined as never, undefined as never))).message, /got undefined; add it/);
});

test("a path without a leading slash is refused, with what to do", async (t) => {
  const http = defineDependency({ name: "payments", baseUrl: "http://127.0.0.1:9" });
  assert.equal(
    (await failureOf(t, (context) => context.call(http, { method: "GET", path: "charges" }), [http])).message,
    `payments: expected a path that begins with '/', got "charges"; write it below the dependency's base URL, as '/charges'`,
  );
});
