// Escalations between the failures they hear of and a recovery queue that may be away.
import { strict as assert } from "node:assert";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, test } from "node:test";
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { EscalationNotice, EscalationRule } from "#runtime/core/escalation.ts";
import { platformEventHeader } from "#runtime/core/platform-catalogue.ts";
import { waitsForHeader } from "#runtime/core/copy.ts";
import { reassignedFromHeader } from "#runtime/core/reassignment.ts";
import { replayHeader } from "#runtime/core/replay-order.ts";
import { EscalationPolicy } from "#runtime/policy/escalation.ts";
import { DeliveryError } from "#runtime/ports/escalation-channel.ts";
import type { CountAnswer, CountAsk, SharedCounts } from "#runtime/ports/shared-counts.ts";
import type { JobResult, NewJob, RecoveryQueue } from "#runtime/ports/recovery-queue.ts";
import type { AboutEvent, AboutMessage } from "#runtime/ports/telemetry.ts";
import { Escalations } from "#runtime/recovery/escalations.ts";
import { delivery, envelope, json } from "../support/event-messages.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";

const rule: EscalationRule = {
  name: "any",
  on: "dead-letter",
  when: {},
  critical: undefined,
  by: [],
  threshold: { count: 1, windowMs: 60_000 },
  to: ["pager"],
  repeatAfterMs: 1_000,
};

interface BenchOptions {
  readonly by?: EscalationRule["by"];
  readonly further?: readonly EscalationRule[];
  readonly perHourMax?: number;
  readonly to?: string;
  readonly threshold?: EscalationRule["threshold"];
  readonly counts?: SharedCounts | undefined;
}

function benchOf({ perHourMax = 1_000, to = "pager", threshold = rule.threshold, by = rule.by, further = [], counts }: BenchOptions = {}) {
  const clock = new ManualClock(1_700_000_000_000);
  const jobs: NewJob[] = [];
  const emitted: { readonly event: RuntimeEvent; readonly about: AboutMessage | AboutEvent | undefined }[] = [];
  const state = { isAway: false, refusal: undefined as Error | undefined };
  const queue: RecoveryQueue = {
    limits: undefined,
    start: () => undefined,
    work: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    add(job) {
      if (state.isAway) return Promise.reject(new StoreUnavailableError("away"));
      if (jobs.some(({ id }) => id === job.id)) return Promise.resolve("known");
      jobs.push(job);
      return Promise.resolve("added");
    },
    hurry: () => Promise.resolve(false),
    remove: () => Promise.resolve(false),
    find: () => Promise.resolve(undefined),
    list: () => Promise.resolve([]),
    counts: () => Promise.resolve({ waiting: 0, active: 0, done: 0, failed: 0 }),
  };
  const taken: EscalationNotice[] = [];
  const reassigned: { readonly entity: string; readonly message: OutgoingMessage }[] = [];
  const pager = {
    send: (notice: EscalationNotice) => (state.refusal === undefined ? Promise.resolve(void taken.push(notice)) : Promise.reject(state.refusal)),
    check: () => Promise.resolve({ kind: "ok" } as const),
  };
  const escalations = new Escalations({
    clock: runtimeClock(clock),
    policy: new EscalationPolicy({ rules: [{ ...rule, to: [to], threshold, by }, ...further], criticalProjects: new Set(), perHourMax }),
    queue,
    counts,
    channels: new Map<string, typeof pager | { readonly queue: string }>([
      ["pager", pager],
      ["people", { queue: "by-hand" }],
    ]),
    publisher: { send: (entity, messages) => Promise.resolve(void reassigned.push(...messages.map((message) => ({ entity, message })))) },
    telemetry: { emit: (event, about) => void emitted.push({ event, about }) },
    consumer: "input",
    workerId: "w",
    timestamp: () => new Date(clock.now()).toISOString(),
  });
  escalations.start("secret");
  const saysAlone = emitted.splice(0).map(({ event }) => (event.type === "escalation.counting" ? event.by : event.type));
  assert.deepEqual(saysAlone, counts === undefined ? ["worker"] : []);
  return {
    clock,
    jobs,
    emitted,
    state,
    taken,
    reassigned,
    escalations,
    async pass(ms: number) {
      clock.advance(ms);
      for (let turn = 0; turn < 5; turn += 1) await nextTurn();
    },
    types: () => emitted.map(({ event }) => event.type),
    deliver(attempt: number, signal = new AbortController().signal): Promise<JobResult> {
      const [job] = jobs;
      const handler = escalations.handlers.get(job?.kind ?? "");
      if (job === undefined || handler === undefined) throw new Error("expected a job with a handler");
      // As the queue keeps it.
      return handler({ kind: job.kind, id: job.id, data: JSON.parse(JSON.stringify(job.data)) as unknown, attempt }, signal);
    },
  };
}

const death = {
  type: "run.dead-lettered",
  eventId: envelope.eventId,
  messageId: "m",
  skill: "s",
  attempt: 1,
  reason: "CARD",
  description: "found Bearer 0123456789abcdef",
  class: "permanent",
  code: "CARD",
  step: "pay",
  fingerprint: "f",
} as const;

function about(headers = {}): AboutMessage {
  return {
    consumer: "input",
    eventId: envelope.eventId,
    attempt: 1,
    epoch: 1,
    delivery: delivery(json(envelope), headers),
    route: undefined,
    headers: undefined,
  };
}

describe("escalations", () => {
  test("become a job that holds what is known of the failure, and no secret", async () => {
    const bench = benchOf();
    bench.escalations.emit(death, about());
    await bench.pass(0);
    assert.equal(bench.jobs.length, 1);
    assert.equal((await bench.deliver(1)).kind, "done");
    const [notice] = bench.taken;
    assert.deepEqual(
      [notice?.rule, notice?.code, notice?.step, notice?.traceId, notice?.projectId, notice?.description],
      ["any", "CARD", "pay", envelope.traceId, envelope.projectId, "found Bearer [redacted]"],
    );
    assert.deepEqual(bench.types(), ["escalation.raised", "escalation.sent"]);
    const [, sent] = bench.emitted;
    assert.ok(sent?.about !== undefined && "lineage" in sent.about && sent.about.lineage.traceId === envelope.traceId);
  });

  test("wait for a queue that is away, and are the same job when they come to it", async () => {
    const bench = benchOf();
    bench.state.isAway = true;
    bench.escalations.emit(death, about());
    await bench.pass(1_500);
    bench.escalations.emit(death, about());
    await bench.pass(10_000);
    assert.equal(bench.jobs.length, 0);
    bench.state.isAway = false;
    await bench.pass(2_000);
    assert.equal(bench.jobs.length, 1);
  });

  test("that wait are brought to the queue when the worker stops, and reported when it is away still", async () => {
    const bench = benchOf();
    bench.state.isAway = true;
    bench.escalations.emit(death, about());
    await bench.pass(0);
    await bench.escalations.stop();
    assert.deepEqual(bench.types(), ["escalation.raised", "escalation.failed"]);
    assert.equal(bench.clock.pending, 0);
    const other = benchOf();
    other.state.isAway = true;
    other.escalations.emit(death, about());
    await other.pass(0);
    other.state.isAway = false;
    await other.escalations.stop();
    assert.deepEqual([other.jobs.length, other.types()], [1, ["escalation.raised"]]);
  });

  test("are tried again, until the channel refuses them for good or the tries are over", async () => {
    const bench = benchOf();
    bench.escalations.emit(death, about());
    await bench.pass(0);
    bench.state.refusal = new DeliveryError("away");
    await assert.rejects(bench.deliver(1), DeliveryError);
    assert.equal((await bench.deliver(10)).kind, "done");
    bench.state.refusal = new DeliveryError("no such hook", { isPermanent: true });
    assert.equal((await bench.deliver(1)).kind, "done");
    const failures = bench.emitted.flatMap(({ event }) => (event.type === "escalation.failed" ? [event.isFinal] : []));
    assert.deepEqual(failures, [false, true, true]);
  });

  test("that the worker's stop breaks off go on elsewhere, and are no failure", async () => {
    const bench = benchOf();
    bench.escalations.emit(death, about());
    await bench.pass(0);
    bench.state.refusal = new Error("aborted");
    assert.equal((await bench.deliver(1, AbortSignal.abort())).kind, "again");
    assert.deepEqual(bench.types(), ["escalation.raised"]);
  });

  test("of a platform event are marked, so that nothing is sent to the platform about them", async () => {
    const bench = benchOf();
    bench.escalations.emit(death, about({ [platformEventHeader]: true }));
    await bench.pass(0);
    await bench.deliver(1);
    assert.ok(bench.emitted.every((one) => one.about !== undefined && "ofPlatform" in one.about && one.about.ofPlatform));
  });

  test("that are too many for an hour are held back, and said to be, with the event that they are about", async () => {
    const bench = benchOf({ perHourMax: 1, by: ["code"] });
    bench.escalations.emit(death, about());
    await bench.pass(0);
    bench.escalations.emit({ ...death, code: "FUNDS" }, about());
    await bench.pass(0);
    assert.deepEqual([bench.types(), bench.jobs.length], [["escalation.raised", "escalation.held-back"], 1]);
    const [, held] = bench.emitted;
    assert.deepEqual(held?.event, { type: "escalation.held-back", rule: "any", counted: "code=FUNDS" });
    assert.ok(held?.about !== undefined && "lineage" in held.about && held.about.lineage.traceId === envelope.traceId);
  });

  test("are not repeated within the pause, nor is anything said of them", async () => {
    const bench = benchOf();
    for (let time = 0; time < 3; time += 1) {
      bench.escalations.emit(death, about());
      await bench.pass(400);
    }
    assert.deepEqual([bench.types(), bench.jobs.length], [["escalation.raised"], 1]);
  });

  test("to a queue take each event, whether people hear of it, have just heard, or are to hear no more in this hour", async () => {
    const bench = benchOf({ to: "people", perHourMax: 1, by: ["code"] });
    const dueTo = [
      ["CARD", "first"],
      ["CARD", "repeated"],
      ["FUNDS", "held back"],
    ] as const;
    for (const [code, messageId] of dueTo) {
      const at = about();
      bench.escalations.emit({ ...death, code }, { ...at, delivery: { ...delivery(json(envelope)), messageId } });
      await bench.pass(0);
    }
    assert.deepEqual(
      [bench.types(), bench.jobs.map(({ kind }) => kind)],
      [
        ["escalation.raised", "escalation.held-back"],
        ["reassignment", "reassignment", "reassignment"],
      ],
    );
  });

  test("to a queue are copies of the events that were given up, each once, with where they come from and why", async () => {
    const bench = benchOf({ to: "people" });
    for (const eventId of ["first", "second"]) {
      bench.escalations.emit(death, { ...about({ [waitsForHeader]: "HTTP_503", [replayHeader]: "an order" }), eventId });
      await bench.pass(0);
    }
    // The second one is the same message, dead-lettered once more.
    assert.deepEqual([bench.jobs.length, bench.jobs[0]?.kind], [1, "reassignment"]);
    assert.equal((await bench.deliver(1)).kind, "done");
    const [{ entity, message } = { entity: "", message: undefined }] = bench.reassigned;
    assert.equal(entity, "by-hand");
    assert.deepEqual(JSON.parse(Buffer.from(message?.body ?? []).toString("utf8")), envelope);
    const headers = {
      [reassignedFromHeader]: "input",
      "holdfast-reassigned-by": "any",
      "holdfast-reassigned-reason": "CARD",
      "holdfast-reassigned-code": "CARD",
    };
    assert.deepEqual(message?.headers, headers);
    assert.notEqual(message?.messageId, "m");
  });

  test("to a queue leave out what was reassigned before, and say so of what is too large", async () => {
    const bench = benchOf({ to: "people" });
    bench.escalations.emit(death, about({ [reassignedFromHeader]: "elsewhere" }));
    const large = { ...about(), delivery: delivery(Buffer.alloc(256 * 1024 + 1)) };
    bench.escalations.emit(death, large);
    await bench.pass(0);
    assert.equal(bench.jobs.length, 0);
    const failed = bench.emitted.flatMap(({ event }) => (event.type === "escalation.failed" ? [event] : []));
    assert.deepEqual([failed.length, failed[0]?.isFinal, failed[0]?.attempt], [1, true, 0]);
    assert.match(failed[0]?.error ?? "", /at most 262144 bytes to be reassigned, found 262145; replay it from its dead letters/);
  });
});

/** What the pool counts: nobody else has seen more than `elsewhere`. */
function countsWith(elsewhere: number, state: { isAway: boolean }): SharedCounts & { readonly asked: CountAsk[] } {
  const asked: CountAsk[] = [];
  return {
    asked,
    stop: () => Promise.resolve(),
    count(asks) {
      if (state.isAway) return Promise.reject(new StoreUnavailableError("away"));
      asked.push(...asks);
      const count = elsewhere + asked.length;
      return Promise.resolve(asks.map(({ needed }): CountAnswer => ({ count, sinceLast: count, due: count < needed ? "few" : "now" })));
    },
  };
}

describe("escalations of a pool", () => {
  const threshold = { count: 3, windowMs: 60_000 };

  test("count what other workers have seen, each delivery under a name of its own", async () => {
    const counts = countsWith(1, { isAway: false });
    const bench = benchOf({ threshold, counts });
    bench.escalations.emit(death, about());
    await bench.pass(0);
    assert.deepEqual([bench.jobs.length, bench.types()], [0, []]);
    bench.escalations.emit(death, about());
    await bench.pass(0);
    assert.deepEqual([bench.jobs.length, bench.types()], [1, ["escalation.raised"]]);
    const [first, second] = counts.asked;
    assert.deepEqual([first?.needed, first?.windowMs, first?.failure === second?.failure], [3, 60_000, true], "the same delivery is the same failure");
    const [raised] = bench.emitted.flatMap(({ event }) => (event.type === "escalation.raised" ? [event.count] : []));
    assert.equal(raised, 3);
  });

  test("are told apart when many are asked about at once, and those that the pool holds back are", async () => {
    const asked: number[] = [];
    const dues = ["few", "now", "held-back", "repeated"] as const;
    const counts: SharedCounts = {
      stop: () => Promise.resolve(),
      count(asks) {
        asked.push(asks.length);
        return Promise.resolve(asks.map(({ key }): CountAnswer => ({ count: 7, sinceLast: 7, due: dues[Number(/E(\d)/.exec(key)?.[1])] ?? "few" })));
      },
    };
    // E1 is counted by two rules.
    const further = [{ ...rule, name: "E0", when: { code: ["E1"] }, threshold }];
    const bench = benchOf({ threshold, counts, by: ["code"], further });
    for (const code of ["E0", "E1", "E2", "E3", "E1"]) bench.escalations.emit({ ...death, code }, about());
    await bench.pass(0);
    assert.deepEqual(asked, [1, 6], "expected what comes while one question is on its way to be asked in one");
    const told = bench.emitted.flatMap(({ event }) => ("counted" in event ? [`${event.type} ${event.counted}`] : []));
    assert.deepEqual(told, ["escalation.raised code=E1", "escalation.held-back code=E2", "escalation.raised code=E1"]);
  });

  test("count alone while nobody answers, and say so, until the pool is counted again", async () => {
    const state = { isAway: true };
    const bench = benchOf({ threshold, counts: countsWith(0, state) });
    for (let time = 0; time < 3; time += 1) {
      bench.escalations.emit(death, about());
      await bench.pass(0);
    }
    assert.deepEqual([bench.jobs.length, bench.types()], [1, ["escalation.counting", "escalation.raised"]]);
    state.isAway = false;
    bench.escalations.emit(death, about());
    await bench.pass(0);
    const told = bench.emitted.flatMap(({ event }) => (event.type === "escalation.counting" ? [`${event.by} ${event.error}`] : []));
    assert.deepEqual(told, ["worker away", "pool "]);
  });
});

describe("a dead letter that is escalated", () => {
  test("waits for its escalation to be in the queue, not longer than 3 s, and one that is not escalated does not wait", async () => {
    const bench = benchOf({ threshold: { count: 2, windowMs: 60_000 } });
    bench.escalations.emit(death, about());
    assert.equal(bench.escalations.intent(), undefined, "expected the threshold not to be reached");
    bench.state.isAway = true;
    bench.escalations.emit(death, about());
    let settled = 0;
    void bench.escalations.intent()?.then(() => (settled += 1));
    assert.equal(bench.escalations.intent(), undefined, "expected it to be asked for once");
    await bench.pass(0);
    await bench.pass(1_000);
    assert.equal(settled, 0);
    bench.state.isAway = false;
    await bench.pass(1_000);
    assert.deepEqual([settled, bench.jobs.length], [1, 1]);

    const other = benchOf();
    other.state.isAway = true;
    other.escalations.emit(death, about());
    void other.escalations.intent()?.then(() => (settled += 1));
    await other.pass(2_999);
    assert.equal(settled, 1);
    await other.pass(1);
    assert.equal(settled, 2);
  });
});
