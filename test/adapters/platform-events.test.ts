import { strict as assert } from "node:assert";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { PlatformEvents, type PlatformEventsOptions } from "#runtime/adapters/telemetry/platform-events.ts";
import { ReportBudget } from "#runtime/adapters/telemetry/report-budget.ts";
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";
import type { Delivery, OutgoingMessage } from "#runtime/core/delivery.ts";
import { SendError, TransportError } from "#runtime/core/errors.ts";
import type { EventEnvelope } from "#runtime/core/event-envelope.ts";
import { platformEventHeader } from "#runtime/core/platform-catalogue.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import type { AboutMessage } from "#runtime/ports/telemetry.ts";
import { delivery, envelope, json } from "../support/event-messages.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";

type Lost = Extract<RuntimeEvent, { type: "platform-events.lost" }>;

interface Bench {
  readonly clock: ManualClock;
  readonly events: PlatformEvents;
  readonly sent: OutgoingMessage[];
  readonly lost: Lost[];
  /** What the next sends throw. */
  readonly failures: ((messages: readonly OutgoingMessage[]) => Error)[];
  /** Turns the clock and lets sends end. */
  pass(ms: number): Promise<void>;
  envelopes(): EventEnvelope<Readonly<Record<string, unknown>>>[];
}

function benchOf(options: Partial<PlatformEventsOptions> = {}): Bench {
  const clock = new ManualClock(1_700_000_000_000);
  const sent: OutgoingMessage[] = [];
  const lost: Lost[] = [];
  const failures: Bench["failures"] = [];
  const publisher = {
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    send(_entity: string, messages: readonly OutgoingMessage[]): Promise<void> {
      const fails = failures.shift();
      if (fails !== undefined) return Promise.reject(fails(messages));
      sent.push(...messages);
      return Promise.resolve();
    },
  };
  const events = new PlatformEvents({
    clock: runtimeClock(clock),
    publisher,
    entity: "system",
    consumer: "input",
    workerId: "w",
    bufferMax: 100,
    perSecondMax: 100,
    lost: (event) => lost.push(event),
    ...options,
  });
  return {
    clock,
    events,
    sent,
    lost,
    failures,
    async pass(ms) {
      clock.advance(ms);
      for (let turn = 0; turn < 5; turn += 1) await nextTurn();
    },
    envelopes: () => sent.map(({ body }) => JSON.parse(Buffer.from(body).toString("utf8")) as EventEnvelope<Readonly<Record<string, unknown>>>),
  };
}

function about(message: Delivery = delivery(json(envelope)), changes: Partial<AboutMessage> = {}): AboutMessage {
  const answer = readRoute(message, defaultDecodeLimits);
  return {
    consumer: "input",
    eventId: envelope.eventId,
    attempt: 1,
    epoch: 1,
    delivery: message,
    route: answer.ok ? answer.route : undefined,
    headers: undefined,
    ...changes,
  };
}

const retrying = { type: "run.retrying", eventId: envelope.eventId, skill: "s", attempt: 1, delayMs: 5, code: "C", description: "d" } as const;
const opened = { type: "circuit.changed", dependency: "d", state: "open" } as const;

describe("platform events", () => {
  test("has the lineage of the event that it is about, which is its cause", async () => {
    const bench = benchOf();
    bench.events.start("secret");
    bench.events.emit(retrying, about());
    await bench.pass(100);
    const [event] = bench.envelopes();
    const { traceId, correlationId, projectId } = envelope;
    assert.deepEqual(
      [event?.eventType, event?.traceId, event?.correlationId, event?.projectId, event?.causationId, event?.originatingAgent],
      ["RunRetrying", traceId, correlationId, projectId, envelope.eventId, "holdfast"],
    );
    assert.equal(event?.payload["worker"], "w");
    const route = readRoute(delivery(bench.sent[0]?.body ?? json({}), bench.sent[0]?.headers), defaultDecodeLimits);
    assert.ok(route.ok, "expected a worker to be able to read it");
  });

  test("about no event is its own trace", async () => {
    const bench = benchOf();
    bench.events.start("secret");
    bench.events.emit(opened);
    await bench.pass(100);
    const [event] = bench.envelopes();
    assert.deepEqual([event?.traceId, event?.projectId, event?.causationId], [event?.eventId, "default", undefined]);
  });

  test("has the same ids when the same is reported again by another worker, and others for another execution", async () => {
    const ids: string[][] = [];
    for (const workerId of ["w1", "w2"]) {
      const bench = benchOf({ workerId });
      bench.events.start("secret");
      bench.events.emit(retrying, about());
      bench.events.emit(retrying, about(undefined, { attempt: 2 }));
      bench.events.emit(opened, about());
      bench.events.emit(opened);
      await bench.pass(100);
      ids.push(bench.sent.map(({ messageId, headers }) => `${messageId} ${String(headers["eventId"])}`));
    }
    const [first = [], second = []] = ids;
    assert.deepEqual(first.slice(0, 3), second.slice(0, 3));
    assert.equal(new Set([...first, ...second]).size, 5);
  });

  test("of an event whose message is held no more has its lineage, and an id for each message that carries it on", async () => {
    const bench = benchOf();
    bench.events.start("secret");
    const { eventId, traceId, correlationId, projectId } = envelope;
    const lineage = { traceId, correlationId, projectId, tenantId: "" };
    for (const sent of [1, 2, 2]) bench.events.emit({ type: "recovery.continued", eventId, sent }, { eventId, lineage, ofPlatform: false });
    await bench.pass(100);
    const events = bench.envelopes();
    assert.deepEqual(
      events.map((event) => [event.eventType, event.traceId, event.causationId, event.payload["sent"]]),
      [1, 2, 2].map((sent) => ["CompensationContinued", traceId, eventId, sent]),
    );
    assert.equal(new Set(events.map((event) => event.eventId)).size, 2);
  });

  test("is not made about a message that is one itself", async () => {
    const bench = benchOf();
    bench.events.start("secret");
    bench.events.emit(retrying, about(delivery(json(envelope), { [platformEventHeader]: true })));
    await bench.pass(100);
    assert.equal(bench.sent.length, 0);
  });

  test("of other types than are included are left out", async () => {
    const bench = benchOf({ include: new Set(["CircuitChanged"]) });
    bench.events.start("secret");
    bench.events.emit(retrying, about());
    bench.events.emit(opened);
    await bench.pass(100);
    assert.deepEqual(
      bench.envelopes().map(({ eventType }) => eventType),
      ["CircuitChanged"],
    );
  });

  test("wait for a broker that is away, up to the buffer; what is over is counted and reported once", async () => {
    const bench = benchOf({ bufferMax: 4, perSecondMax: 10_000 });
    bench.events.start("secret");
    for (let at = 0; at < 3; at += 1) bench.failures.push(() => new TransportError("away"));
    for (let at = 1; at <= 7; at += 1) bench.events.emit(retrying, about(undefined, { attempt: at }));
    bench.events.emit(opened);
    bench.events.emit(opened);
    await bench.pass(100);
    assert.equal(bench.sent.length, 0);
    for (let at = 0; at < 6; at += 1) await bench.pass(1_000);
    assert.deepEqual(
      bench.envelopes().map(({ eventType }) => eventType),
      ["RunRetrying", "RunRetrying", "RunRetrying", "CircuitChanged"],
    );
    assert.deepEqual(
      bench.lost.map(({ why, events }) => [why, events]),
      [["buffer", 5]],
    );
  });

  test("that the broker refuses for good keep no other, and are reported", async () => {
    const bench = benchOf();
    bench.events.start("secret");
    const refusal = new TransportError("too large", { isPermanent: true });
    bench.failures.push((messages) => new SendError(new Map(messages.map((message, at) => [message, at === 0 ? refusal : new TransportError("away")]))));
    bench.events.emit(retrying, about());
    bench.events.emit(opened);
    await bench.pass(100);
    await bench.pass(5_000);
    assert.deepEqual(
      bench.envelopes().map(({ eventType }) => eventType),
      ["CircuitChanged"],
    );
    assert.deepEqual(
      bench.lost.map(({ why, events, error }) => [why, events, error]),
      [["refused", 1, "too large"]],
    );
  });

  test("that wait are sent when the worker stops, and reported as lost when they cannot be", async () => {
    const bench = benchOf();
    bench.events.start("secret");
    bench.events.emit(retrying, about());
    await bench.events.stop();
    assert.equal(bench.sent.length, 1);
    assert.equal(bench.clock.pending, 0);

    const other = benchOf();
    other.events.start("secret");
    other.failures.push(() => new TransportError("away"));
    other.events.emit(retrying, about());
    await other.events.stop();
    assert.deepEqual(
      other.lost.map(({ why, events }) => [why, events]),
      [["stop", 1]],
    );
  });

  test("wait for the worker to have started", async () => {
    const bench = benchOf();
    bench.events.emit(opened);
    await bench.pass(1_000);
    assert.equal(bench.sent.length, 0);
    bench.events.start("secret");
    await bench.pass(100);
    assert.equal(bench.sent.length, 1);
  });

  test("have no secret in them, and no message that cannot be looked at stops its worker", async () => {
    const bench = benchOf();
    bench.events.start("secret");
    bench.events.emit({ ...retrying, description: "found Bearer 0123456789abcdef" }, about());
    const unreadable = {
      ...delivery(json(envelope)),
      header: (): never => {
        throw new Error("unreadable");
      },
    };
    bench.events.emit(retrying, about(delivery(json(envelope)), { delivery: unreadable }));
    await bench.pass(100);
    assert.equal(bench.envelopes()[0]?.payload["description"], "found Bearer [redacted]");
    await bench.pass(5_000);
    assert.deepEqual(
      bench.lost.map(({ why }) => why),
      ["refused"],
    );
  });
});

describe("the budget of reports", () => {
  test("never grants more in a second than it may, nor more than the buffer holds, and always leaves room for what is rare", () => {
    const moves = fc.array(fc.record({ isFrequent: fc.boolean(), afterMs: fc.nat(400), waiting: fc.nat(30) }), { maxLength: 200 });
    const property = fc.property(fc.integer({ min: 4, max: 20 }), fc.integer({ min: 4, max: 20 }), moves, (perSecondMax, bufferMax, steps) => {
      const budget = new ReportBudget({ perSecondMax, bufferMax });
      const granted: number[] = [];
      let nowMs = 0;
      for (const { isFrequent, afterMs, waiting } of steps) {
        nowMs += afterMs;
        const answer = budget.take(isFrequent, waiting, nowMs);
        if (answer !== "taken") continue;
        assert.ok(waiting < bufferMax);
        if (isFrequent) assert.ok(waiting < bufferMax * 0.75);
        granted.push(nowMs);
        // A full bucket and what runs in within the second.
        assert.ok(granted.filter((atMs) => atMs > nowMs - 1_000).length <= 2 * perSecondMax);
      }
    });
    fc.assert(property);
  });

  test("grants what is rare when what is frequent has used up its share, and everything again a second later", () => {
    const budget = new ReportBudget({ perSecondMax: 8, bufferMax: 8 });
    const take = (isFrequent: boolean, nowMs: number): number => {
      let taken = 0;
      while (budget.take(isFrequent, 0, nowMs) === "taken") taken += 1;
      return taken;
    };
    assert.deepEqual([take(true, 0), take(false, 0), take(false, 0)], [6, 2, 0]);
    assert.deepEqual([take(true, 1_000), take(false, 1_000)], [6, 2]);
    assert.deepEqual([take(false, 900), take(false, 1_500)], [0, 4]);
  });
});
