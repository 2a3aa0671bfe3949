import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { packOrders, type TicketedOrder, unpackOrders } from "#runtime/adapters/threads/orders.ts";
import { PlainResults, isPlain, openReport } from "#runtime/adapters/threads/reports.ts";
import { forEachStepped, isStepped, SteppedResults } from "#runtime/adapters/threads/stepped-results.ts";
import type { StepRecord } from "#runtime/core/run.ts";

const ids = fc.stringMatching(/^[A-Za-z0-9._~:/+=@|-]{1,128}$/);
const types = fc.constantFrom("OrderPlaced", "shop.OrderPaid", "a".repeat(128));
const versions = fc.constantFrom("1.0", "1.1", "9999.9999");
const bytes = fc.uint8Array({ maxLength: 300 });
const uint32 = fc.nat({ max: 0xffff_ffff });
const times = fc.double({ min: 0, max: 1e13, noNaN: true });

const steps: fc.Arbitrary<StepRecord> = fc.record(
  {
    name: fc.string(),
    kind: fc.constantFrom("keyed", "queryable", "idempotent", "atMostOnce"),
    state: fc.constantFrom("intent", "completed"),
    result: bytes,
    checksum: uint32,
    codec: uint32,
    atMs: fc.nat(),
  },
  { noNullPrototype: true },
);

const largeStep: StepRecord = { name: "ä", kind: "idempotent", state: "completed", result: new Uint8Array(300_000).fill(7), checksum: 1, codec: 1, atMs: 0 };

const orders: fc.Arbitrary<TicketedOrder> = fc
  .record({
    route: fc.record({
      eventId: ids,
      eventType: types,
      version: versions,
      form: fc.constantFrom("canonical", "snake", "cloudevents-structured", "cloudevents-binary", "event-grid", "hooked"),
      codec: fc.constantFrom("json", "msgpack", "bytes"),
    }),
    body: bytes,
    contentEncoding: fc.constantFrom(undefined, "gzip"),
    headers: fc.constantFrom(undefined, { "ce-id": "1", "ce-ä": null }),
    enqueuedAtMs: times,
    source: fc.nat({ max: 65_535 }),
    epoch: uint32,
    attempt: uint32,
    generation: uint32,
    leaseMs: times,
    timeoutMs: times,
    steps: fc.array(steps, { maxLength: 2 }),
    apart: fc.constant(false),
    pipelineChanged: fc.boolean(),
    inDoubt: fc.boolean(),
    rejectedBy: fc.array(fc.nat({ max: 20 }), { maxLength: 2 }),
    allowances: fc.constant(undefined),
    sessionId: fc.constantFrom(undefined, "session-ä"),
    traceparent: fc.constantFrom(undefined, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
  })
  .chain((order) =>
    fc.record({ ticket: fc.nat({ max: Number.MAX_SAFE_INTEGER }), leaseUntilMs: times }).map(({ ticket, leaseUntilMs }) => ({
      ticket,
      leaseUntilMs,
      body: order.body,
      order: { runId: 0, skill: "", ...order },
    })),
  );

/** As it comes out of a message channel. */
function passed(slab: Uint8Array<ArrayBuffer>): Uint8Array {
  return structuredClone(slab, { transfer: [slab.buffer] });
}

describe("orders on their way to a thread", () => {
  test("arrive as they were posted, whatever they hold", () => {
    fc.assert(
      fc.property(fc.array(orders, { minLength: 1, maxLength: 8 }), (posted) => {
        const unpacked = unpackOrders(passed(packOrders("skill-ä", posted)));
        const expected = posted.map(({ ticket, leaseUntilMs, order: { leaseMs: _lease, apart: _apart, runId: _runId, ...order } }) => ({
          ...order,
          runId: ticket,
          skill: "skill-ä",
          leaseUntilMs,
          body: Buffer.from(order.body),
        }));
        assert.deepEqual(structuredClone(unpacked), structuredClone(expected));
      }),
    );
  });

  test("are refused when a field of the route is no ASCII", () => {
    const [order] = fc.sample(orders, 1);
    assert.ok(order !== undefined);
    const route = { ...order.order.route, eventId: "ä" };
    assert.throws(() => packOrders("skill", [{ ...order, order: { ...order.order, route } }]), /expected the fields of a route to be ASCII, found "ä"/);
  });
});

describe("a thread's report", () => {
  const noBytes = new Uint8Array(0);
  const nothing = { results: [], steps: [], needs: [], questions: [], logs: [], traces: [] };

  test("brings back every plain result with its times, in one report each", () => {
    const results = new PlainResults();
    for (let ticket = 1; ticket <= 1_000; ticket += 1) results.add(2 ** 40 + ticket, ticket / 4, ticket / 8);
    const { workMs, plain, rest } = openReport(passed(results.report(1.5, noBytes, nothing)));
    assert.equal(workMs, 1.5);
    assert.deepEqual([...plain], Array.from({ length: 1_000 }, (_, index) => [2 ** 40 + index + 1, (index + 1) / 4, (index + 1) / 8]).flat());
    assert.deepEqual(rest, nothing);
    assert.deepEqual([...openReport(passed(results.report(0, noBytes, nothing))).plain], []);
  });

  test("brings everything else beside them", () => {
    const results = new PlainResults();
    results.add(7, 0.5, 0.25);
    const step: StepRecord = { name: "write", kind: "keyed", state: "completed", result: Uint8Array.of(1, 2, 3), checksum: 1, codec: 2, atMs: 3 };
    const span = {
      spanId: "2",
      parentSpanId: "1",
      name: "step a",
      kind: "internal",
      startMs: 1,
      endMs: 2,
      attributes: { "holdfast.step": "a" },
      error: undefined,
    } as const;
    const trace = { traceId: "t", saidTraceId: undefined, spanId: "1", startMs: 1, endMs: 3, spans: [span], spansDropped: 0, error: undefined } as const;
    const rest = {
      results: [{ ticket: 8, durationMs: 2, recordingMs: 1, answer: { kind: "interrupted" }, calls: [] }],
      steps: [{ ticket: 9, requestId: 1, step, fellBack: undefined }],
      needs: [{ ticket: 9, requestId: 2, dependency: 0, waitMaxMs: 10, requests: 1, tokens: 0 }],
      questions: [{ ticket: 9, requestId: 3, about: "message" }],
      logs: [],
      traces: [{ ticket: 7, trace }],
    } as const;
    const opened = openReport(passed(results.report(0, noBytes, rest)));
    assert.deepEqual([...opened.plain], [7, 0.5, 0.25]);
    assert.deepEqual(opened.rest, rest);
  });

  test("brings back results with steps as they were, however many, between plain ones and the rest", () => {
    const all = new SteppedResults();
    const ended = fc.record({ ticket: fc.nat(), durationMs: times, recordingMs: times, steps: fc.array(steps, { maxLength: 4 }) }, { noNullPrototype: true });
    const rest = { ...nothing, results: [{ ticket: 8, durationMs: 2, recordingMs: 1, answer: { kind: "interrupted" }, calls: [] }] } as const;
    fc.assert(
      fc.property(fc.array(ended, { maxLength: 40 }), (runs) => {
        const plain = new PlainResults();
        plain.add(7, 0.5, 0.25);
        for (const { ticket, durationMs, recordingMs, steps: done } of runs) all.add(ticket, durationMs, recordingMs, done);
        const opened = openReport(passed(plain.report(0, all.take(), rest)));
        const found: unknown[] = [];
        forEachStepped(opened.stepped, (ticket, durationMs, recordingMs, answer) =>
          found.push({ ticket, durationMs, recordingMs, steps: answer.kind === "completed" ? answer.steps : answer }),
        );
        assert.deepEqual(found, runs);
        assert.deepEqual([...opened.plain], [7, 0.5, 0.25]);
        assert.deepEqual(opened.rest, rest);
      }),
      { examples: [[[{ ticket: 1, durationMs: 1, recordingMs: 0, steps: [largeStep] }]]] },
    );
  });

  test("takes a result for one with steps only where nothing else is left to say", () => {
    assert.equal(isStepped({ kind: "completed", outbox: [], steps: [largeStep] }, []), true);
    assert.equal(isStepped({ kind: "completed", outbox: [] }, []), false);
    assert.equal(isStepped({ kind: "completed", outbox: [], steps: [largeStep], sessionState: null }, []), false);
    assert.equal(isStepped({ kind: "completed", outbox: [], steps: [largeStep] }, [{ dependency: "d", result: "unused" }]), false);
  });

  test("takes a result for plain only where nothing is left to say", () => {
    assert.equal(isPlain({ kind: "completed", outbox: [] }, []), true);
    assert.equal(isPlain({ kind: "completed", outbox: [], sessionState: null }, []), false);
    assert.equal(isPlain({ kind: "interrupted" }, []), false);
    assert.equal(isPlain({ kind: "completed", outbox: [{ messageId: "1", body: Buffer.alloc(0), headers: {} }] }, []), false);
  });
});
