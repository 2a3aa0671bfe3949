import { strict as assert } from "node:assert";
import { AsyncLocalStorage } from "node:async_hooks";
import { type TestContext, test } from "node:test";
import { z } from "zod";
import { PermanentError, type SkillContext, TransientError, defineSkill } from "../../runtime/index.ts";
import { envelope, json, msgpack } from "../support/event-messages.ts";
import { eventually } from "../support/eventually.ts";
import { oddNames, oddWords } from "../support/odd-names.ts";
import { type HostBundle, makeHost } from "./host.ts";

const handles = [{ eventType: envelope.eventType }];

function hostOf(t: TestContext, run: (context: SkillContext) => unknown): Promise<HostBundle> {
  return makeHost(t, [defineSkill({ name: "test", handles, run })]);
}

test("a skill gets the event, typed by its schema, and its return completes the run", async (t) => {
  const seen: unknown[] = [];
  const payload = z.object({ orderId: z.string().transform((id) => id.toUpperCase()) });
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, payload, run: (context) => seen.push(context.event, context.attempt) })]);
  const { answer, calls, latenciesMs } = await bundle.run();
  assert.deepEqual([answer, calls, latenciesMs.size], [{ kind: "completed", outbox: [] }, [], 0]);
  assert.deepEqual(seen, [{ ...envelope, payload: { orderId: "O-1" } }, 1]);
});

test("a skill that answers at once is answered before its start returns", async (t) => {
  let answered = false;
  const bundle = await hostOf(t, () => undefined);
  void bundle.begin().answered.then(() => (answered = true));
  assert.equal(bundle.host.active, 0);
  await Promise.resolve().then(() => undefined);
  await new Promise<void>((resolve) => setImmediate(resolve));
  assert.equal(answered, true);
});

test("an envelope or payload that is wrong is invalid, and its skill is not run", async (t) => {
  let runs = 0;
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, payload: z.object({ orderId: z.number() }), run: () => (runs += 1) })]);
  const { answer } = await bundle.run();
  assert.equal(answer.kind === "invalid" && answer.invalid.reason, "InvalidPayload");
  const broken = await bundle.run({ body: json({ ...envelope, traceId: 1 }) });
  assert.equal(broken.answer.kind === "invalid" && broken.answer.invalid.reason, "InvalidEnvelope");
  assert.equal(runs, 0);
});

test("a bigint of the payload passes through steps and logs, and is refused in words where JSON is written", async (t) => {
  const big = 2n ** 60n + 1n;
  const order = {
    body: msgpack({ ...envelope, payload: { big } }),
    route: { eventId: envelope.eventId, eventType: envelope.eventType, version: envelope.version, form: "canonical", codec: "msgpack" },
  } as const;
  const seen: unknown[] = [];
  const kept = await hostOf(t, async (context) => {
    const { big } = context.event.payload as { readonly big: bigint };
    context.log.info("got it", { big });
    seen.push(await context.step("keep", { kind: "idempotent" }, () => big));
  });
  assert.equal((await kept.run(order)).answer.kind, "completed");
  assert.equal((await kept.run({ ...order, steps: kept.steps.filter(({ state }) => state === "completed") })).answer.kind, "completed");
  assert.deepEqual(seen, [big, big]);
  assert.deepEqual(kept.logs[0]?.fields, { big });
  const emitting = await hostOf(t, (context) => context.emit("Next", context.event.payload));
  const { answer } = await emitting.run(order);
  assert.match(
    answer.kind === "failed" ? answer.failure.message : "",
    /^emit: payload\.big: expected a value of JSON \(a bigint as text, String\(it\)\), got 1152921504606846977n$/,
  );
});

test("what a skill throws becomes a record that says whether to try again", async (t) => {
  const failure = async (thrown: unknown): Promise<unknown> => {
    const { answer } = await (
      await hostOf(t, () => {
        throw thrown;
      })
    ).run();
    const later = await (
      await hostOf(t, async () => {
        throw thrown;
      })
    ).run();
    assert.deepEqual(later.answer, answer);
    return answer;
  };
  assert.deepEqual(await failure(new PermanentError("no", { code: "QUOTA" })), { kind: "failed", failure: { code: "QUOTA", message: "no" }, retryable: false });
  assert.deepEqual(await failure(new TransientError("later", { retryAfterMs: 500 })), {
    kind: "failed",
    failure: { code: "TRANSIENT", message: "later", retryAfterMs: 500 },
    retryable: true,
  });
  assert.deepEqual(await failure(new TypeError("x of undefined")), {
    kind: "failed",
    failure: { code: "TypeError", message: "x of undefined" },
    retryable: undefined,
  });
  assert.deepEqual(await failure("text"), { kind: "failed", failure: { code: "THROWN", message: "text" }, retryable: undefined });
  assert.deepEqual(await failure(new Error("login with password=hunter2 failed")), {
    kind: "failed",
    failure: { code: "Error", message: "login with password=[redacted] failed" },
    retryable: undefined,
  });
});

test("a step's result is stored before the next begins, and a resumed run does not call its effect again", async (t) => {
  const order: string[] = [];
  const bundle = await hostOf(t, async (context) => {
    const one = await context.step("one", {}, () => {
      order.push("effect one");
      return { at: new Date(0), bytes: new Uint8Array([1, 2]), tags: new Map([["a", new Set([1])]]), none: undefined };
    });
    assert.deepEqual(one, { at: new Date(0), bytes: new Uint8Array([1, 2]), tags: new Map([["a", new Set([1])]]), none: undefined });
    const two = await context.step("two", () => {
      order.push(`effect two, stored ${bundle.steps.length}`);
      return 7;
    });
    assert.equal(two, 7);
  });
  assert.deepEqual((await bundle.run()).answer, { kind: "completed", outbox: [] });
  assert.deepEqual(order, ["effect one", "effect two, stored 1"]);
  assert.deepEqual(
    bundle.steps.map(({ name, kind, state }) => [name, kind, state]),
    [
      ["one", "keyed", "completed"],
      ["two", "keyed", "completed"],
    ],
  );

  const [one] = bundle.steps;
  assert.ok(one);
  order.length = 0;
  bundle.steps.length = 0;
  assert.deepEqual((await bundle.run({ steps: [one], attempt: 2 })).answer, { kind: "completed", outbox: [] });
  assert.deepEqual(order, ["effect two, stored 0"]);
});

test("a step's key is its own, and the same at every try of the same run", async (t) => {
  const keys: string[] = [];
  const bundle = await hostOf(t, async (context) => {
    keys.push(context.idempotencyKey);
    for (const name of ["one", "two"]) await context.step(name, {}, (step) => void keys.push(step.idempotencyKey));
  });
  await bundle.run();
  await bundle.run({ attempt: 2, epoch: 9 });
  await bundle.run({ generation: 1 });
  assert.deepEqual(keys.slice(3, 6), keys.slice(0, 3));
  assert.equal(new Set(keys).size, 6);
  for (const key of keys) assert.match(key, /^[0-9a-f]{32}$/);
});

test("nothing goes on after the store says the claim is lost", async (t) => {
  const effects: string[] = [];
  const bundle = await hostOf(t, async (context) => {
    try {
      await context.step("one", {}, () => effects.push("one"));
    } catch {
      // A skill that swallows it gains nothing.
    }
    await context.step("two", {}, () => effects.push("two"));
  });
  bundle.store = "stale";
  assert.deepEqual((await bundle.run()).answer, { kind: "stale" });
  assert.deepEqual(effects, ["one"]);
});

test("a step whose result could not be stored fails the run as transient, even if the skill swallows it", async (t) => {
  const bundle = await hostOf(t, async (context) => {
    await context.step("one", {}, () => 1).catch(() => undefined);
  });
  bundle.store = "unavailable";
  const { answer } = await bundle.run();
  assert.deepEqual(answer.kind === "failed" && [answer.failure.code, answer.failure.step, answer.retryable], ["STORE_UNAVAILABLE", "one", true]);
});

test("an effect that may happen once has its intent stored first, and does not begin without it", async (t) => {
  let effects = 0;
  const bundle = await hostOf(t, (context) => context.step("charge", { kind: "atMostOnce" }, () => (effects += 1)));
  bundle.store = "unavailable";
  const { answer } = await bundle.run();
  assert.equal(answer.kind === "failed" && answer.failure.code, "STORE_UNAVAILABLE");
  assert.equal(effects, 0);
  bundle.store = "written";
  bundle.steps.length = 0;
  await bundle.run();
  assert.deepEqual(
    bundle.steps.map(({ kind, state }) => `${kind} ${state}`),
    ["atMostOnce intent", "atMostOnce completed"],
  );
  assert.equal(effects, 1);
});

test("in doubt, an effect that may happen once is parked and not tried again", async (t) => {
  let effects = 0;
  const bundle = await hostOf(t, (context) => context.step("charge", { kind: "atMostOnce" }, () => (effects += 1)));
  await bundle.run();
  const [intent, completed] = bundle.steps;
  assert.ok(intent && completed);
  assert.deepEqual((await bundle.run({ steps: [intent] })).answer, { kind: "outcome-unknown", step: "charge", why: "its effect may have happened" });
  const damaged = { ...completed, result: Uint8Array.from(completed.result, (byte) => byte ^ 1) };
  assert.deepEqual((await bundle.run({ steps: [damaged] })).answer, { kind: "outcome-unknown", step: "charge", why: "its result cannot be read" });
  assert.deepEqual((await bundle.run({ steps: [{ ...completed, codec: 99 }] })).answer.kind, "outcome-unknown");
  assert.deepEqual((await bundle.run({ steps: [completed] })).answer.kind, "completed");
  assert.equal(effects, 1);
});

test("where the store may have forgotten, what may happen once is parked, what can be asked for is, and the rest happens", async (t) => {
  const did: string[] = [];
  let found: string | undefined = "found";
  const bundle = await hostOf(t, async (context) => {
    await context.step("keyed", {}, () => did.push("keyed"));
    await context.step("idempotent", { kind: "idempotent" }, () => did.push("idempotent"));
    const query = (): string | undefined => {
      did.push("query");
      return found;
    };
    await context.step("asked", { kind: "queryable", query }, () => {
      did.push("asked");
      return "asked";
    });
    await context.step("charge", { kind: "atMostOnce" }, () => did.push("charge"));
  });
  const { answer } = await bundle.run({ inDoubt: true });
  const why = "its effect may have happened: the store has lost records since the event was enqueued";
  assert.deepEqual([answer, did], [{ kind: "outcome-unknown", step: "charge", why }, ["keyed", "idempotent", "query"]]);
  found = undefined;
  did.length = 0;
  await bundle.run({ inDoubt: true });
  assert.deepEqual(did, ["keyed", "idempotent", "query", "asked"]);
  // What has a record is not in doubt.
  did.length = 0;
  bundle.steps.length = 0;
  await bundle.run();
  const steps = bundle.steps.filter(({ state }) => state === "completed");
  did.length = 0;
  assert.deepEqual([(await bundle.run({ inDoubt: true, steps })).answer.kind, did], ["completed", []]);
});

test("an effect that may happen once and throws is parked, unless it is certain that nothing happened", async (t) => {
  let thrown: unknown = new Error("socket hang up");
  const bundle = await hostOf(t, (context) =>
    context.step("charge", { kind: "atMostOnce" }, () => {
      if (thrown !== undefined) throw thrown;
      return 1;
    }),
  );
  assert.deepEqual((await bundle.run()).answer, { kind: "outcome-unknown", step: "charge", why: "socket hang up" });
  thrown = new TransientError("refused", { definite: true });
  bundle.steps.length = 0;
  const { answer } = await bundle.run();
  assert.deepEqual(answer, { kind: "failed", failure: { code: "TRANSIENT", message: "refused", step: "charge" }, retryable: true });
  thrown = undefined;
  const withdrawn = bundle.steps.at(-1);
  assert.ok(withdrawn);
  assert.deepEqual((await bundle.run({ steps: [withdrawn] })).answer.kind, "completed");
});

test("in doubt, a queryable step asks before it tries again", async (t) => {
  let found: string | undefined;
  let effects = 0;
  const bundle = await hostOf(t, async (context) => {
    const id = await context.step(
      "create",
      { kind: "queryable", query: (step) => (found === undefined ? undefined : `${found} ${step.idempotencyKey.length}`) },
      () => {
        effects += 1;
        return "made";
      },
    );
    context.log.info(id);
  });
  await bundle.run();
  const [intent, completed] = bundle.steps;
  assert.ok(intent && completed);
  assert.equal(intent.state, "intent");
  await bundle.run({ steps: [intent] });
  found = "found";
  await bundle.run({ steps: [intent] });
  assert.deepEqual(
    bundle.logs.map(({ message }) => message),
    ["made", "made", "found 32"],
  );
  assert.equal(effects, 2);
});

test("a damaged checkpoint of a keyed step runs it again under the same key", async (t) => {
  const keys: string[] = [];
  const bundle = await hostOf(t, (context) => context.step("put", {}, (step) => void keys.push(step.idempotencyKey)));
  await bundle.run();
  const [completed] = bundle.steps;
  assert.ok(completed);
  assert.equal((await bundle.run({ steps: [{ ...completed, checksum: 0 }] })).answer.kind, "completed");
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
});

test("no effect begins past the lease, and extending it lets the run go on", async (t) => {
  const effects: string[] = [];
  const bundle = await hostOf(t, async (context) => {
    for (const name of ["one", "two", "three"]) await context.step(name, {}, () => effects.push(name));
  });
  bundle.store = "hold";
  const { answered } = bundle.begin({ timeoutMs: 600_000 });
  await eventually("a step to be stored", () => bundle.steps.length === 1);
  bundle.skewMs = 61_000;
  bundle.host.acknowledge(1, "written");
  assert.deepEqual((await answered).answer, { kind: "stale" });
  assert.deepEqual(effects, ["one"]);

  bundle.skewMs = 0;
  bundle.store = "hold";
  const second = bundle.begin({ timeoutMs: 600_000 });
  await eventually("a step to be stored", () => bundle.steps.length === 2);
  bundle.skewMs = 61_000;
  bundle.host.extend([second.runId], performance.now() + bundle.skewMs + 60_000);
  bundle.store = "written";
  bundle.host.acknowledge(2, "written");
  assert.equal((await second.answered).answer.kind, "completed");
  assert.deepEqual((await bundle.run({ leaseUntilMs: performance.now() + bundle.skewMs - 1 })).answer, { kind: "stale" });
});

test("a run past its time is answered, its signal aborted, and it may do nothing more", async (t) => {
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const { promise: afterwards, resolve: tried } = Promise.withResolvers<unknown>();
  const bundle = await hostOf(t, async (context) => {
    context.signal.addEventListener("abort", () => resolve());
    bundle.skewMs += 20;
    await aborted;
    await context.step("late", {}, () => 1).catch(tried);
  });
  bundle.stillAtMs = performance.now();
  const { answer } = await bundle.run({ timeoutMs: 20 });
  assert.deepEqual(answer, { kind: "timed-out", failure: { code: "RUN_TIMEOUT", message: "expected the run to end within 20 ms, it did not" } });
  assert.match(String(await afterwards), /^RunEnded: expected no step, call or emit after the end of its run; await all/);
  assert.equal(bundle.host.active, 0);
  assert.deepEqual(bundle.steps, []);
});

test("a skill that blocked its thread past its time starts no effect afterwards", async (t) => {
  const bundle = await hostOf(t, async (context) => {
    bundle.skewMs = 40_000;
    await context.step("late", {}, () => 1);
  });
  const { answer } = await bundle.run({ timeoutMs: 30_000 });
  assert.equal(answer.kind, "timed-out");
  assert.deepEqual(bundle.steps, []);
});

test("told to stop, a run ends at its next step boundary; taken over, at once", async (t) => {
  const effects: string[] = [];
  const bundle = await hostOf(t, async (context) => {
    await context.step("one", {}, () => effects.push("one"));
    await context.step("two", {}, () => effects.push("two"));
  });
  bundle.store = "hold";
  const first = bundle.begin();
  await eventually("a step to be stored", () => bundle.steps.length === 1);
  bundle.host.interrupt([first.runId], "interrupted");
  bundle.host.acknowledge(1, "written");
  assert.deepEqual((await first.answered).answer, { kind: "interrupted" });
  const second = bundle.begin();
  bundle.host.interrupt([second.runId], "stale");
  assert.deepEqual((await second.answered).answer, { kind: "stale" });
  assert.deepEqual(effects, ["one", "one"]);
});

test("news of a run that come before it are kept for it", async (t) => {
  let runs = 0;
  const bundle = await hostOf(t, () => (runs += 1));
  bundle.host.interrupt([101], "interrupted");
  assert.deepEqual((await bundle.run({ runId: 101 })).answer, { kind: "interrupted" });
  bundle.host.interrupt([102], "stale");
  bundle.host.extend([102], performance.now() + 60_000);
  assert.deepEqual((await bundle.run({ runId: 102 })).answer, { kind: "stale" });
  bundle.host.extend([103], performance.now() + 60_000);
  assert.equal((await bundle.run({ runId: 103, leaseUntilMs: 0 })).answer.kind, "completed");
  assert.equal(runs, 1);
});

test("a changed pipeline must meet every recorded step before it starts a new one", async (t) => {
  const made = await hostOf(t, async (context) => {
    for (const name of ["one", "two"]) await context.step(name, {}, () => name);
  });
  await made.run();
  const steps = [...made.steps];
  const parked = async (run: (context: SkillContext) => unknown): Promise<unknown> =>
    (await (await hostOf(t, run)).run({ steps, pipelineChanged: true })).answer;
  const whyParked = { kind: "pipeline-changed", why: "expected the skill to meet the recorded steps two before a new one, it did not" };
  assert.deepEqual(
    await parked(async (context) => {
      await context.step("one", {}, () => assert.fail());
      await context.step("new", {}, () => assert.fail());
    }),
    whyParked,
  );
  assert.deepEqual(await parked((context) => context.step("one", {}, () => assert.fail())), whyParked);
  assert.deepEqual(
    await parked(async (context) => {
      await context.step("two", {}, () => assert.fail());
      await context.step("one", {}, () => assert.fail());
      await context.step("new", {}, () => 1);
    }),
    { kind: "completed", outbox: [] },
  );
});

test("a step without options is keyed", async (t) => {
  const keys: unknown[] = [];
  const bundle = await hostOf(t, async (context) => {
    keys.push(await context.step("one", (step) => step.idempotencyKey));
  });
  assert.equal((await bundle.run()).answer.kind, "completed");
  assert.deepEqual(
    bundle.steps.map(({ name, kind }) => [name, kind]),
    [["one", "keyed"]],
  );
  assert.equal(typeof keys[0], "string");
});

test("steps are one at a time, named once, awaited, and hold plain data", async (t) => {
  const code = async (run: (context: SkillContext) => unknown): Promise<unknown> => {
    const { answer } = await (await hostOf(t, run)).run();
    return answer.kind === "failed" ? [answer.failure.code, answer.retryable] : answer;
  };
  assert.deepEqual(await code((context) => Promise.all([context.step("a", {}, () => 1), context.step("b", {}, () => 1)])), ["STEP_OVERLAP", false]);
  assert.deepEqual(await code((context) => context.step("a", {}, () => context.step("b", {}, () => 1))), ["STEP_OVERLAP", false]);
  assert.deepEqual(
    await code(async (context) => {
      await context.step("a", {}, () => 1);
      await context.step("a", {}, () => 1);
    }),
    ["STEP_REPEATED", false],
  );
  assert.deepEqual(
    await code((context) => {
      void context.step("a", {}, () => new Promise(() => undefined));
    }),
    ["STEP_NOT_AWAITED", false],
  );
  assert.deepEqual(await code((context) => context.step("a b", {}, () => 1)), ["STEP_INVALID", false]);
  assert.deepEqual(await code((context) => context.step("a", { kind: "twice" as never }, () => 1)), ["STEP_INVALID", false]);
  assert.deepEqual(await code((context) => context.step("a", {}, "no function" as never)), ["STEP_INVALID", false]);
  assert.deepEqual(await code((context) => context.step("a", {}, () => "x".repeat(300_000))), ["STEP_RESULT", false]);
  assert.deepEqual(await code((context) => context.step("a", {}, () => () => 1)), ["STEP_RESULT", false]);
});

test("a chain's steps see the results before them, also when resumed", async (t) => {
  const effects: string[] = [];
  const skill = defineSkill({
    name: "chain",
    handles,
    steps: (begin) =>
      begin
        .step("outline", {}, () => {
          effects.push("outline");
          return ["a", "b"];
        })
        .step("draft", { kind: "queryable", query: (_step, { outline }) => (outline.length === 9 ? "never" : undefined) }, (_step, { outline }) => {
          effects.push("draft");
          return outline.join("+");
        })
        .step("send", { kind: "idempotent" }, (step, { outline, draft }) => {
          step.emit("Drafted", { draft, sections: outline.length });
        }),
  });
  const bundle = await makeHost(t, [skill]);
  const { answer } = await bundle.run();
  assert.ok(answer.kind === "completed");
  assert.deepEqual(JSON.parse(Buffer.from(answer.outbox[0]?.body ?? []).toString()).payload, { draft: "a+b", sections: 2 });
  effects.length = 0;
  const resumed = await bundle.run({ steps: bundle.steps.filter(({ state }) => state === "completed").slice(0, 1) });
  assert.deepEqual(resumed.answer, answer);
  assert.deepEqual(effects, ["draft"]);
});

test("an emitted event carries the flow on, under an id that every execution of the run makes again", async (t) => {
  const bundle = await makeHost(t, [
    defineSkill({
      name: "test",
      handles,
      async run(context) {
        context.emit("First", { n: 1 });
        await context.step("one", {}, (step) => step.emit("InStep", { n: 2 }, { version: "2.1", artifactUri: "git:x" }));
        context.emit("First", { n: 3 });
      },
    }),
  ]);
  const { answer } = await bundle.run({ body: json({ ...envelope, tenantId: "t" }) });
  assert.ok(answer.kind === "completed");
  const [first, inStep, last] = answer.outbox;
  assert.ok(first && inStep && last);
  const { payload, ...written } = JSON.parse(Buffer.from(inStep.body).toString()) as Record<string, unknown>;
  assert.deepEqual(payload, { n: 2 });
  assert.deepEqual(written, {
    eventId: inStep.messageId,
    eventType: "InStep",
    traceId: envelope.traceId,
    correlationId: envelope.correlationId,
    projectId: envelope.projectId,
    tenantId: "t",
    originatingAgent: "test",
    version: "2.1",
    timestamp: "2024-05-01T00:00:00.000Z",
    causationId: envelope.eventId,
    artifactUri: "git:x",
  });
  assert.deepEqual(
    [inStep.headers["eventId"], inStep.headers["eventType"], inStep.headers["version"], inStep.contentType],
    [inStep.messageId, "InStep", "2.1", "application/json"],
  );
  assert.equal(new Set([first.messageId, inStep.messageId, last.messageId]).size, 3);

  // Resumed past the step that emitted: the same outbox, from its checkpoint.
  const resumed = await bundle.run({ body: json({ ...envelope, tenantId: "t" }), steps: [...bundle.steps], attempt: 2 });
  assert.deepEqual(resumed.answer.kind === "completed" && resumed.answer.outbox.map(({ messageId }) => messageId), [
    first.messageId,
    inStep.messageId,
    last.messageId,
  ]);
});

test("a step that failed emits nothing", async (t) => {
  const bundle = await hostOf(t, async (context) => {
    await context
      .step("one", {}, (step) => {
        step.emit("Lost", 1);
        throw new PermanentError("no");
      })
      .catch(() => undefined);
    context.emit("Kept", 2);
  });
  const { answer } = await bundle.run();
  assert.deepEqual(answer.kind === "completed" && answer.outbox.map(({ subject }) => subject), ["Kept"]);
});

test("an event that cannot be emitted fails the run for good", async (t) => {
  for (const emit of [
    (context: SkillContext) => context.emit("no spaces", 1),
    (context: SkillContext) => context.emit("T", undefined),
    (context: SkillContext) => context.emit("T", 1n),
    (context: SkillContext) => context.emit("T", 1, { version: "one" }),
    (context: SkillContext) => context.emit("T", "x".repeat(200_000)),
  ]) {
    const { answer } = await (await hostOf(t, emit)).run();
    assert.deepEqual(answer.kind === "failed" && [answer.failure.code, answer.retryable], ["EMIT_INVALID", false]);
  }
  const { answer } = await (
    await hostOf(t, (context) => {
      for (let n = 0; n <= 1_000; n += 1) context.emit("T", n);
    })
  ).run();
  assert.equal(answer.kind === "failed" && answer.failure.code, "EMIT_LIMIT");
});

test("an event whose payload JSON would change is refused, with the place", async (t) => {
  const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)]);
  for (const [payload, place] of [
    [{ total: Number.NaN }, /payload\.total: expected a finite number, got "NaN"/],
    [{ items: [1, undefined] }, /payload\.items\[1\]: expected a value of JSON/],
    [{ a: { b: 1n } }, /payload\.a\.b: .*1n/],
    [{ when: new Map([["a", 1]]) }, /payload\.when: .*a Map/],
    [{ bytes: Buffer.from("x") }, /payload\.bytes: .*base64/],
    [{ f: () => 1 }, /payload\.f: .*a function/],
    [{ at: new Date(Number.NaN) }, /payload\.at: .*a date that exists\), got "an invalid Date"/],
    [{ toJSON: () => undefined }, /payload: expected a value of JSON, got "undefined"/],
    [{ price: { toJSON: () => Number.NaN } }, /payload\.price: expected a finite number/],
    [{ all: { toJSON: () => ({ left: [undefined] }) } }, /payload\.all\.left\[0\]: expected a value of JSON/],
    [deep(65), /nested at most 64 deep/],
  ] as const) {
    const { answer } = await (await hostOf(t, (context) => context.emit("T", payload))).run();
    assert.ok(answer.kind === "failed");
    assert.match(answer.failure.message, place);
  }
  const { answer } = await (await hostOf(t, (context) => context.emit("T", { at: new Date(0), gone: undefined, n: null, deep: deep(60) }))).run();
  assert.ok(answer.kind === "completed");
});

test("an order for a skill that is not here is refused for good", async (t) => {
  const { answer } = await (await hostOf(t, () => undefined)).run({ skill: "other" });
  assert.deepEqual(answer.kind === "failed" && [answer.failure.code, answer.retryable], ["SKILL_UNKNOWN", false]);
});

test("steps and emitted events may have names that every object knows", async (t) => {
  const ran: string[] = [];
  const run = async (context: SkillContext): Promise<void> => {
    for (const name of oddWords) await context.step(name, {}, () => void ran.push(name));
    for (const name of oddNames) context.emit(name, {});
  };
  const chain = defineSkill({
    name: "chain",
    handles,
    steps: (begin) => begin.step("constructor", {}, () => 1).step("toString", {}, (_step, { constructor }) => ran.push(`chained ${String(constructor)}`)),
  });
  const bundle = await makeHost(t, [defineSkill({ name: "test", handles, run }), chain]);
  const { answer } = await bundle.run();
  assert.ok(answer.kind === "completed");
  assert.deepEqual(
    answer.outbox.map(({ subject, headers }) => [subject, headers["eventType"]]),
    oddNames.map((name) => [name, name]),
  );
  assert.equal((await bundle.run({ steps: bundle.steps.slice() })).answer.kind, "completed");
  assert.deepEqual(ran, oddWords);
  assert.equal((await bundle.run({ skill: "chain" })).answer.kind, "completed");
  assert.equal(ran.at(-1), "chained 1");
  const unknown = await bundle.run({ skill: "toString" });
  assert.equal(unknown.answer.kind === "failed" && unknown.answer.failure.code, "SKILL_UNKNOWN");
});

test("code at work is its own run's, and what is done between two runs is nobody's", async (t) => {
  const atWork: unknown[] = [];
  const look = (): void => void atWork.push(bundle.host.atWork().runId);
  const bundle = await hostOf(t, async () => {
    look();
    await Promise.resolve();
    look();
  });
  const first = bundle.begin();
  look();
  const second = bundle.begin();
  look();
  await Promise.all([first.answered, second.answered]);
  assert.deepEqual(atWork, [first.runId, undefined, second.runId, undefined, first.runId, second.runId]);
});

test("what a run enters of its author's own context reaches neither the run after it nor what is done between them", async (t) => {
  const own = new AsyncLocalStorage<number>();
  const seen: unknown[] = [];
  const bundle = await hostOf(t, async ({ attempt }) => {
    seen.push(own.getStore());
    own.enterWith(attempt);
    await Promise.resolve();
    seen.push(own.getStore());
  });
  const runs = [1, 2].map((attempt) => bundle.begin({ attempt }));
  seen.push(own.getStore());
  await Promise.all(runs.map(({ answered }) => answered));
  assert.deepEqual(seen, [undefined, undefined, undefined, 1, 2]);
});
