// Calls of a dependency that is limited, inside a thread: what is asked for, what is told in the end.
import { strict as assert } from "node:assert";
import { describe, type TestContext, test } from "node:test";
import { type SkillContext, type StepContext, TransientError, defineDependency, defineSkill } from "../../runtime/index.ts";
import type { ThreadOrder } from "../../runtime/skills/host/run-order.ts";
import { envelope } from "../support/event-messages.ts";
import { eventually } from "../support/eventually.ts";
import { type HostBundle, makeHost } from "./host.ts";

interface Answer {
  readonly text: string;
  readonly tokens?: unknown;
}

const handles = [{ eventType: envelope.eventType }];
const retry = { attemptsMax: 3, baseDelayMs: 1, delayMaxMs: 20 };

function modelOf(answer: (request: string, attempt: number) => Answer, rest: object = {}) {
  return defineDependency<string, Answer>({
    name: "model",
    retry,
    limits: [{ tokensPerMinute: 1_000, requestsPerMinute: 10 }],
    request: async (request, { attempt }) => answer(request, attempt),
    ...rest,
  });
}

async function hostOf(t: TestContext, model: ReturnType<typeof modelOf>, run: (context: SkillContext) => unknown): Promise<HostBundle> {
  return makeHost(t, [defineSkill({ name: "test", handles, uses: [model], run })], { numbered: ["other", "model"], config: new Map() });
}

const allowing = (requests: number, tokens: number): Partial<ThreadOrder> => ({ allowances: [{ dependency: 1, requests, tokens }] });
const plain = (): Answer => ({ text: "yes" });

describe("calls of a dependency that is limited", () => {
  test("go out at once within what the run was allowed, and tell what they used", async (t) => {
    const model = modelOf(() => ({ text: "yes", tokens: 40 }), { tokensOf: (answer: Answer) => Number(answer.tokens), estimatedTokens: 50 });
    const host = await hostOf(t, model, async (context) => {
      await context.call(model, "a");
      await context.step("b", (step) => step.call(model, "b"));
    });
    const { answer, calls } = await host.run(allowing(2, 100));
    assert.equal(answer.kind, "completed");
    assert.deepEqual(host.needs, []);
    assert.deepEqual(calls, [{ dependency: "model", result: "succeeded", usage: { requests: 2, tokens: 80 } }]);
  });

  test("ask for what they need beyond it, and wait for the answer", async (t) => {
    const model = modelOf(plain, { estimatedTokens: (request: string) => request.length });
    let isCalled = false;
    const host = await hostOf(t, model, async (context) => {
      await context.call(model, "12345");
      isCalled = true;
    });
    host.afterMs = undefined;
    const { answered } = host.begin({ ...allowing(1, 2), timeoutMs: 20_000 });
    const need = await eventually("a request for more", () => host.needs[0]);
    assert.deepEqual([need.dependency, need.usage], [1, { requests: 0, tokens: 3 }]);
    assert.ok(need.waitMaxMs > 19_000 && need.waitMaxMs <= 20_000, `${need.waitMaxMs}`);
    assert.equal(isCalled, false);
    host.host.allow(need.requestId, 0);
    const { answer, calls } = await answered;
    assert.deepEqual([answer.kind, calls[0]?.usage], ["completed", { requests: 1, tokens: 5 }]);
  });

  test("count each try as a request, and ask for those beyond the first", async (t) => {
    const model = modelOf(
      (_request, attempt) => {
        if (attempt < 3) throw new TransientError("no", { code: "NO" });
        return { text: "yes" };
      },
      { estimatedTokens: 10 },
    );
    const host = await hostOf(t, model, (context) => context.call(model, "a"));
    const { calls } = await host.run(allowing(1, 10));
    assert.deepEqual(
      host.needs.map(({ usage }) => usage),
      [
        { requests: 1, tokens: 0 },
        { requests: 1, tokens: 0 },
      ],
    );
    assert.deepEqual(calls[0]?.usage, { requests: 3, tokens: 10 });
  });

  test("fail as RATE_LIMITED, certain that nothing happened, when there is nothing in time; a circuit hears nothing of it", async (t) => {
    const model = modelOf(plain, { estimatedTokens: 10 });
    let error: unknown;
    const host = await hostOf(t, model, async (context) => {
      error = await context.call(model, "a").catch((caught: unknown) => caught);
      throw error;
    });
    host.afterMs = 12_345;
    const { answer, calls } = await host.run(allowing(1, 5));
    assert.ok(error instanceof TransientError, String(error));
    assert.deepEqual([error.code, error.definite, error.retryAfterMs], ["RATE_LIMITED", true, 12_345]);
    assert.ok(answer.kind === "failed" && answer.failure.code === "RATE_LIMITED" && answer.failure.retryAfterMs === 12_345);
    assert.deepEqual(
      calls.map(({ answers: _answers, ...report }) => report),
      [{ dependency: "model", result: "unused", usage: { requests: 0, tokens: 0 } }],
    );
  });

  test("a try that comes after one whose outcome is unknown fails as that one did", async (t) => {
    const model = modelOf(() => {
      throw new TransientError("broken off", { code: "BROKEN", definite: false });
    });
    const host = await hostOf(t, model, (context) => context.call(model, "a"));
    host.afterMs = 5_000;
    const { answer } = await host.run(allowing(1, 0));
    assert.ok(answer.kind === "failed" && answer.failure.code === "BROKEN", JSON.stringify(answer));
  });

  test("a fallback answers when the limit has nothing left", async (t) => {
    const model = modelOf(plain, { estimatedTokens: 10 });
    const effect = (step: StepContext): Promise<string> => step.call(model, "a").then(({ text }) => text);
    let said: unknown;
    const host = await hostOf(t, model, async (context) => {
      said = await context.step("say", { fallbacks: [{ name: "template", quality: "template", answer: () => "none" }] }, effect);
    });
    host.afterMs = 60_000;
    const { answer } = await host.run(allowing(0, 0));
    assert.deepEqual([answer.kind, said], ["completed", "none"]);
  });

  test("an effect that may happen once only is not in doubt for a limit", async (t) => {
    const model = modelOf(plain);
    const host = await hostOf(t, model, (context) => context.step("say", { kind: "atMostOnce" }, (step) => step.call(model, "a")));
    host.afterMs = 60_000;
    const { answer } = await host.run(allowing(0, 0));
    assert.ok(answer.kind === "failed" && answer.failure.code === "RATE_LIMITED", JSON.stringify(answer));
    assert.equal(host.steps.length, 2, "expected the intent to be withdrawn");
  });

  test("what a single call says stands above the dependency; what is no number leaves the estimate", async (t) => {
    const model = modelOf((tokens) => ({ text: "yes", tokens }), { estimatedTokens: 50, tokensOf: () => 1 });
    const host = await hostOf(t, model, async (context) => {
      await context.call(model, "a", { estimatedTokens: 7, tokensOf: () => 900 });
      await context.call(model, "a", { tokensOf: () => Number.NaN });
      await context.call(model, "a", { estimatedTokens: 20, tokensOf: () => -1 });
      await context.call(model, "a", {
        estimatedTokens: 30,
        tokensOf: () => {
          throw new Error("not there");
        },
      });
      await context.call(model, "a");
    });
    const { calls } = await host.run(allowing(5, 5_000));
    assert.deepEqual(calls[0]?.usage, { requests: 5, tokens: 900 + 50 + 20 + 30 + 1 });
  });

  test("what a failed call used counts as estimated where it may have happened, and as nothing where it did not", async (t) => {
    const model = modelOf(
      (request) => {
        throw new TransientError("no", { code: "NO", definite: request === "certain" });
      },
      { estimatedTokens: 50, retry: { ...retry, attemptsMax: 1 } },
    );
    const host = await hostOf(t, model, async (context) => {
      await context.call(model, "certain").catch(() => undefined);
      await context.call(model, "in doubt").catch(() => undefined);
    });
    const { calls } = await host.run(allowing(5, 5_000));
    assert.deepEqual(calls[0]?.usage, { requests: 2, tokens: 50 });
  });

  test("calls at once share what the run was allowed, each unit once", async (t) => {
    const model = modelOf(plain, { estimatedTokens: 10 });
    const host = await hostOf(t, model, async (context) => {
      await Promise.all(["a", "b", "c"].map((request) => context.call(model, request)));
    });
    const { calls } = await host.run(allowing(2, 15));
    assert.deepEqual(
      host.needs.map(({ usage }) => usage),
      [
        { requests: 0, tokens: 5 },
        { requests: 1, tokens: 10 },
      ],
    );
    assert.deepEqual(calls[0]?.usage, { requests: 3, tokens: 30 });
  });

  test("a run that ends while it waits for the limit makes no call", async (t) => {
    let calls = 0;
    const model = modelOf(() => {
      calls += 1;
      return { text: "yes" };
    });
    const host = await hostOf(t, model, (context) => context.call(model, "a"));
    host.afterMs = undefined;
    const { runId, answered } = host.begin(allowing(0, 0));
    const need = await eventually("a request for more", () => host.needs[0]);
    host.host.interrupt([runId], "stale");
    assert.equal((await answered).answer.kind, "stale");
    host.host.allow(need.requestId, 0);
    await new Promise(setImmediate);
    assert.equal(calls, 0);
  });

  test("options that no call has are refused for good", async (t) => {
    const model = modelOf(plain);
    const host = await hostOf(t, model, (context) => context.call(model, "a", { estimatedTokens: -1 }));
    const { answer } = await host.run(allowing(1, 1));
    assert.ok(answer.kind === "failed" && answer.failure.code === "CALL_INVALID" && answer.retryable === false, JSON.stringify(answer));
  });

  test("without a limit nothing is counted and nothing told", async (t) => {
    const model = modelOf(plain, { limits: [] });
    const host = await hostOf(t, model, (context) => context.call(model, "a", { estimatedTokens: 5 }));
    const { calls } = await host.run();
    assert.deepEqual([calls, host.needs], [[{ dependency: "model", result: "succeeded" }], []]);
  });
});

test("limits that cannot be meant are refused when they are defined", () => {
  const define = (limits: unknown): unknown => modelOf(plain, { limits });
  assert.throws(() => define([{}]), /dependency 'model'.limits: expected requestsPerMinute or tokensPerMinute in each limit, got neither in number 1/);
  assert.throws(() => define([{ requestsPerMinute: 1 }, { tokensPerMinute: 1 }]), /expected one limit for each value of by, got two without by/);
  assert.throws(
    () =>
      define([
        { by: "tenant", requestsPerMinute: 1 },
        { by: "tenant", tokensPerMinute: 1 },
      ]),
    /two by 'tenant'/,
  );
  assert.throws(() => define([{ by: "tennant", requestsPerMinute: 1 }]), /limits\[0\].by: expected one of 'tenant', 'project', 'skill'/);
  assert.throws(() => define([{ requestsPerMinute: 0 }]), /requestsPerMinute: expected a whole number from 1 to 10000000, got 0/);
  assert.throws(() => define([{ requestPerMinute: 5 }]), /got 'requestPerMinute'.*requestsPerMinute/);
  assert.throws(() => define({ requestsPerMinute: 5 }), /expected a list of/);
  assert.throws(() => modelOf(plain, { estimatedTokens: -1 }), /estimatedTokens: expected a whole number from 0/);
  assert.throws(() => modelOf(plain, { tokensOf: 5 }), /tokensOf: expected a function, got 5/);
});

test("what a call waits for its limit is no time of its dependency's: neither told nor slow", async (t) => {
  const model = modelOf(plain, { circuit: { slowCallMs: 500 } });
  const host = await hostOf(t, model, (context) => context.call(model, "a"));
  host.stillAtMs = performance.now();
  host.afterMs = undefined;
  const { answered } = host.begin(allowing(0, 0));
  const { requestId } = await eventually("a request for more", () => host.needs[0]);
  host.skewMs += 1_000;
  host.host.allow(requestId, 0);
  const { calls, latenciesMs } = await answered;
  assert.equal(calls[0]?.result, "succeeded");
  const told = latenciesMs.get("model") ?? -1;
  assert.ok(told >= 0 && told < 500, `${told}`);
});

test("an adaptive concurrency that is no such is refused", () => {
  assert.throws(() => modelOf(plain, { concurrency: { mode: "fixed", min: 1, max: 2 } }), /concurrency.mode: expected one of 'adaptive', got "fixed"/);
  assert.throws(() => modelOf(plain, { concurrency: { mode: "adaptive", min: 5, max: 2 } }), /concurrency.max: expected a whole number from 5 to 10000, got 2/);
});
