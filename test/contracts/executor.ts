/** What every executor keeps to. The skills are those of `test/support/thread-plugin.ts`. */
import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import type { CallReport, RunAnswer } from "../../runtime/core/outcome.ts";
import type { SkillMessage } from "../../runtime/core/skill-message.ts";
import type {
  Executor,
  ExecutorListener,
  RunOrder,
  RunResult,
  StepRequest,
  ThreadLeaked,
  ThreadReplaced,
  ThreadStuck,
  UsageRequest,
} from "../../runtime/ports/executor.ts";
import { envelope, json } from "../support/event-messages.ts";
import { eventually } from "../support/eventually.ts";

export interface ExecutorBundle {
  readonly executor: Executor;
  readonly results: RunResult[];
  readonly requests: StepRequest[];
  readonly needs: UsageRequest[];
  readonly losses: { readonly why: string; readonly replaced: boolean }[];
  readonly replaced: ThreadReplaced[];
  readonly stuck: ThreadStuck[];
  readonly leaked: ThreadLeaked[];
  /** Why skills have no threads any more. */
  readonly downs: string[];
  /** What steps are answered with; `hold` leaves them to the test. */
  store: "written" | "stale" | "unavailable" | "hold";
  /** The state of the session that runs are of. */
  state: Uint8Array | null | undefined;
  /** What runs are told of their message. */
  message: SkillMessage | undefined;
  /** Posts runs of a skill, one for each part, and returns their ids. */
  readonly post: (skill: string, ...parts: readonly Partial<RunOrder>[]) => number[];
  /** Waits for the answer of a run. */
  readonly answer: (runId: number) => Promise<RunAnswer>;
}

/** Starts an executor that stops with the test. */
export async function startExecutor(t: TestContext, executor: Executor): Promise<ExecutorBundle> {
  let lastRunId = 0;
  const waiting = new Map<number, (result: RunResult) => void>();
  const listener: ExecutorListener = {
    steps(requests) {
      bundle.requests.push(...requests);
      const { store } = bundle;
      if (store !== "hold") executor.acknowledge(requests.map(({ runId, requestId }) => ({ runId, requestId, result: store })));
    },
    usage(requests) {
      bundle.needs.push(...requests);
    },
    questions(questions) {
      executor.tell(questions.map(({ about, ...question }) => ({ ...question, said: about === "state" ? bundle.state : bundle.message })));
    },
    results(results) {
      bundle.results.push(...results);
      for (const result of results) waiting.get(result.runId)?.(result);
    },
    threadLost(why, replaced) {
      bundle.losses.push({ why, replaced });
    },
    threadReplaced(replaced) {
      bundle.replaced.push(replaced);
    },
    threadStuck(stuck) {
      bundle.stuck.push(stuck);
    },
    threadLeaked(leaked) {
      bundle.leaked.push(leaked);
    },
    threadsDown(why) {
      bundle.downs.push(why);
    },
  };
  const bundle: ExecutorBundle = {
    executor,
    results: [],
    requests: [],
    needs: [],
    losses: [],
    replaced: [],
    stuck: [],
    leaked: [],
    downs: [],
    store: "written",
    state: null,
    message: undefined,
    post(skill, ...parts) {
      const orders = (parts.length === 0 ? [{}] : parts).map((part) => {
        lastRunId += 1;
        return { ...defaultOrder(skill), runId: lastRunId, ...part };
      });
      executor.post(orders);
      return orders.map(({ runId }) => runId);
    },
    async answer(runId) {
      const find = (): RunResult | undefined => bundle.results.find((result) => result.runId === runId);
      return (await eventually(`an answer for run ${runId}`, find, 20_000)).answer;
    },
  };
  t.after(() => executor.stop());
  await executor.start(listener);
  return bundle;
}

export function defaultOrder(skill: string): Omit<RunOrder, "runId"> {
  const { eventId, eventType, version } = envelope;
  return {
    skill,
    route: { eventId, eventType, version, form: "canonical", codec: "json" },
    body: json(envelope),
    contentEncoding: undefined,
    headers: undefined,
    enqueuedAtMs: 0,
    epoch: 1,
    attempt: 1,
    generation: 0,
    source: 0,
    leaseMs: 60_000,
    timeoutMs: 30_000,
    steps: [],
    apart: false,
    pipelineChanged: false,
    inDoubt: false,
    rejectedBy: [],
  };
}

/** Without how long it took. */
/** Without what differs from time to time, and what a failed run keeps to be gone through again. */
function untimed({ latencyMs: _, answers: _answers, ...call }: CallReport): unknown {
  return call;
}

export function executorContract(name: string, make: () => Executor): void {
  const contract = (what: string, check: (bundle: ExecutorBundle, t: TestContext) => Promise<void>): void => {
    test(`${name}: ${what}`, async (t) => check(await startExecutor(t, make()), t));
  };

  test(`${name}: a run is told what it may use, asks for more, and goes on when it is allowed, or not`, async (t) => {
    const bundle = await startExecutor(t, make());
    const { post, answer, executor } = bundle;
    const [within] = post("limited", { allowances: [{ dependency: 1, requests: 1, tokens: 3 }] });
    assert.equal((await answer(within ?? 0)).kind, "completed");
    assert.deepEqual(bundle.needs, []);
    const usageOf = (runId: number | undefined): unknown => bundle.results.find((result) => result.runId === runId)?.calls.map(untimed);
    assert.deepEqual(usageOf(within), [{ dependency: "limited", result: "succeeded", usage: { requests: 1, tokens: 3 } }]);
    const [allowed, refused] = post("limited", { allowances: [{ dependency: 1, requests: 1, tokens: 1 }] }, {});
    const needs = await eventually("both to ask", () => (bundle.needs.length === 2 ? bundle.needs : undefined), 20_000);
    assert.deepEqual(
      needs.map(({ runId, dependency, requests, tokens }) => [runId, dependency, requests, tokens]).toSorted(([one], [other]) => Number(one) - Number(other)),
      [
        [allowed, 1, 0, 2],
        [refused, 1, 1, 3],
      ],
    );
    executor.allow([
      { runId: 123_456, requestId: 1, afterMs: 0 },
      ...needs.map(({ runId, requestId }) => ({ runId, requestId, afterMs: runId === allowed ? 0 : 5_000 })),
    ]);
    assert.equal((await answer(allowed ?? 0)).kind, "completed");
    const failed = await answer(refused ?? 0);
    assert.ok(failed.kind === "failed" && failed.failure.code === "RATE_LIMITED" && failed.failure.retryAfterMs === 5_000, JSON.stringify(failed));
    assert.deepEqual(usageOf(refused), [{ dependency: "limited", result: "unused", usage: { requests: 0, tokens: 0 } }]);
  });

  contract("answers every run once, whatever its skill", async ({ post, answer, results, executor }) => {
    assert.ok(executor.isReady());
    const noops = post("noop", ...Array.from({ length: 500 }, () => ({})));
    const fails = post("fail", ...Array.from({ length: 20 }, () => ({})));
    const [emit] = post("emit");
    for (const runId of [...noops, ...fails]) await answer(runId);
    assert.deepEqual(await answer(fails[0] ?? 0), { kind: "failed", failure: { code: "NO", message: "no", at: "thread-plugin.ts:46:13" }, retryable: false });
    const emitted = await answer(emit ?? 0);
    assert.ok(emitted.kind === "completed");
    const [message] = emitted.outbox;
    assert.ok(message);
    assert.deepEqual([message.headers["eventType"], message.headers["causationId"], message.subject], ["Emitted", envelope.eventId, "Emitted"]);
    assert.deepEqual((JSON.parse(Buffer.from(message.body).toString()) as { payload: unknown }).payload, envelope.payload);
    assert.equal(results.length, 521);
    assert.equal(new Set(results.map(({ runId }) => runId)).size, 521);
  });

  contract("completes every harmless run among those that block their thread, and says which those were", async ({ post, answer, losses, results }) => {
    const blocking: number[] = [];
    const harmless: number[] = [];
    for (let blocker = 1; blocker <= 3; blocker += 1) {
      harmless.push(...post("noop", ...Array.from({ length: 40 }, () => ({}))));
      const eventId = `blocker-${blocker}`;
      blocking.push(...post("block", { timeoutMs: 100, route: { ...defaultOrder("block").route, eventId }, body: json({ ...envelope, eventId }) }));
      harmless.push(...post("emit", ...Array.from({ length: 40 }, () => ({}))));
    }
    for (const runId of harmless) assert.equal((await answer(runId)).kind, "completed");
    // With both threads gone at once, one that waits may be past its short time before a new thread is up.
    const kinds: string[] = [];
    for (const runId of blocking) kinds.push((await answer(runId)).kind);
    assert.ok(
      kinds.every((kind) => kind === "timed-out" || kind === "not-started"),
      kinds.join(" "),
    );
    const timedOut = kinds.filter((kind) => kind === "timed-out").length;
    assert.ok(timedOut > 0);
    await eventually("every loss to be told", () => losses.length === timedOut, 20_000);
    for (const { why } of losses) assert.match(why, /it was at 'block' \(event blocker-\d, which held it\)/);
    assert.equal(results.length, 243);
  });

  contract("says what is invalid, from the thread that decodes", async ({ post, answer }) => {
    const [bad] = post("noop", { body: Buffer.from("{") });
    const invalid = await answer(bad ?? 0);
    assert.equal(invalid.kind === "invalid" && invalid.invalid.reason, "InvalidEnvelope");
  });

  contract("goes on with a step only when it is stored, and restores what was", async (bundle) => {
    const { post, answer, requests, executor, results } = bundle;
    bundle.store = "hold";
    const [runId] = post("steps");
    assert.ok(runId !== undefined);
    const stored: StepRequest[] = [];
    for (const expected of ["one intent", "one completed", "two completed"]) {
      const request = await eventually(expected, () => requests[stored.length]);
      assert.equal(`${request.step.name} ${request.step.state}`, expected);
      assert.equal(request.runId, runId);
      stored.push(request);
      assert.equal(results.length, 0);
      executor.acknowledge([{ runId, requestId: request.requestId, result: "written" }]);
    }
    assert.deepEqual(await answer(runId), { kind: "completed", outbox: [] });
    assert.deepEqual(results[0]?.calls.map(untimed), [{ dependency: "local", result: "succeeded" }]);
    assert.ok((results[0]?.calls[0]?.latencyMs ?? -1) >= 0);
    requests.length = 0;
    const [again] = post("steps", { steps: stored.slice(1).map(({ step }) => step) });
    assert.deepEqual(await answer(again ?? 0), { kind: "completed", outbox: [] });
    assert.deepEqual(requests, []);
  });

  contract("goes on once all steps that were on their way together are stored", async ({ post, answer, requests }) => {
    const [runId] = post("harmless-steps");
    assert.deepEqual(await answer(runId ?? 0), { kind: "completed", outbox: [] });
    assert.deepEqual(
      requests.map(({ step }) => step.name),
      ["one", "two", "three", "four"],
    );
  });

  contract("brings steps that are to be recorded with the end of their run, from which it can be run again", async ({ post, answer, requests }) => {
    const [first] = post("harmless-end");
    const ended = await answer(first ?? 0);
    assert.ok(ended.kind === "completed");
    const { steps = [], outbox } = ended;
    assert.deepEqual([steps.map(({ name }) => name), outbox.length, requests], [["one", "two"], 1, []]);
    const [again] = post("harmless-end", { steps, attempt: 2 });
    assert.deepEqual(await answer(again ?? 0), { kind: "completed", outbox });
  });

  contract("stops a run whose step is refused", async (bundle) => {
    bundle.store = "stale";
    const [stale] = bundle.post("steps");
    assert.deepEqual(await bundle.answer(stale ?? 0), { kind: "stale" });
    bundle.store = "unavailable";
    const [unavailable] = bundle.post("steps");
    const answer = await bundle.answer(unavailable ?? 0);
    assert.deepEqual(answer.kind === "failed" && [answer.failure.code, answer.retryable], ["STORE_UNAVAILABLE", true]);
  });

  contract("ends runs at their deadline, whether or not they listen", async ({ post, answer }) => {
    const [waits] = post("wait", { timeoutMs: 30 });
    const [deaf] = post("deaf", { timeoutMs: 30 });
    assert.equal((await answer(waits ?? 0)).kind, "timed-out");
    assert.equal((await answer(deaf ?? 0)).kind, "timed-out");
  });

  contract("begins nothing past the lease, and holds to an extended one", async (bundle) => {
    const { post, answer, executor, requests } = bundle;
    const [lapsed] = post("noop", { leaseMs: 0 });
    assert.deepEqual(await answer(lapsed ?? 0), { kind: "stale" });
    bundle.store = "hold";
    const [short] = post("steps");
    const [long] = post("steps");
    assert.ok(short !== undefined && long !== undefined);
    await eventually("both intents", () => requests.length === 2);
    // Their leases are made short only now: before that a busy machine might let them end.
    executor.extend([short, long], 20);
    executor.extend([long], 60_000);
    const startMs = performance.now();
    await eventually("the lease to end", () => performance.now() > startMs + 40);
    bundle.store = "written";
    executor.acknowledge(requests.map(({ runId, requestId }) => ({ runId, requestId, result: "written" })));
    assert.deepEqual(await answer(short), { kind: "stale" });
    assert.deepEqual(await answer(long), { kind: "completed", outbox: [] });
  });

  contract("interrupts runs at a step boundary, and those taken over at once", async (bundle) => {
    const { post, answer, executor, requests } = bundle;
    bundle.store = "hold";
    const [taken] = post("deaf");
    const [interrupted] = post("steps");
    assert.ok(taken !== undefined && interrupted !== undefined);
    await eventually("an intent", () => requests.length === 1);
    executor.interrupt([interrupted], "interrupted");
    executor.interrupt([taken, 999_999], "stale");
    assert.deepEqual(await answer(taken), { kind: "stale" });
    bundle.store = "written";
    executor.acknowledge(requests.map(({ runId, requestId }) => ({ runId, requestId, result: "written" })));
    assert.deepEqual(await answer(interrupted), { kind: "interrupted" });
  });

  contract("takes a run again under the same id once it was answered", async ({ post, results, executor }) => {
    const [runId] = post("fail");
    assert.ok(runId !== undefined);
    await eventually("the first answer", () => results.length === 1);
    executor.interrupt([runId], "stale");
    executor.post([{ ...defaultOrder("noop"), runId }]);
    await eventually("the second answer", () => results.length === 2);
    assert.deepEqual(
      results.map(({ runId: id, answer }) => [id, answer.kind]),
      [
        [runId, "failed"],
        [runId, "completed"],
      ],
    );
  });

  contract("answers what is left when it stops, and everything posted afterwards", async ({ post, answer, executor, results }) => {
    const runIds = post("deaf", ...Array.from({ length: 50 }, () => ({})));
    await executor.stop();
    await executor.stop();
    assert.ok(!executor.isReady());
    for (const runId of runIds) assert.match((await answer(runId)).kind, /^(thread-lost|not-started)$/);
    assert.equal((await answer(post("noop")[0] ?? 0)).kind, "not-started");
    assert.equal(results.length, 51);
  });
}
