// Compensations that nobody is at any more, as the job of the recovery queue sees to them.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";
import { encodeVerdict } from "#runtime/core/compensation.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { encodeOutbox } from "#runtime/core/outbox.ts";
import { platformEventHeader } from "#runtime/core/platform-catalogue.ts";
import type { RunView } from "#runtime/core/run.ts";
import { type CompensateData, handedOverReason, undoHeader, verifiedUndo } from "#runtime/core/undo-order.ts";
import type { JobResult } from "#runtime/ports/recovery-queue.ts";
import type { AboutEvent, AboutMessage } from "#runtime/ports/telemetry.ts";
import { compensationsOf } from "#runtime/recovery/compensations.ts";
import { deliveryOf } from "#runtime/recovery/runs-message.ts";
import { envelope, json } from "../support/event-messages.ts";

const secret = "secret";
const afterMs = 60_000;
const { eventId } = envelope;

const failed: RunView = {
  key: { consumer: "input", eventId },
  state: "waiting",
  epoch: 3,
  failures: 1,
  losses: 0,
  generation: 0,
  restarts: 0,
  pipelineHash: "p",
  payloadHash: "h",
  reason: handedOverReason,
  claim: undefined,
  isCancelling: false,
  writtenAgoMs: 10_000,
  steps: [encodeVerdict({ reason: "FULL", description: "the flight is full", failures: 1, losses: 0 })],
  outbox: new Uint8Array(0),
  history: [],
  setbacks: [],
};

const message: OutgoingMessage = { messageId: "m", body: json(envelope), contentType: "application/json", headers: {} };

function benchOf(view: RunView | undefined, headers: OutgoingMessage["headers"] = {}) {
  const sent: OutgoingMessage[] = [];
  const emitted: { readonly event: RuntimeEvent; readonly about: AboutMessage | AboutEvent | undefined }[] = [];
  const handler = compensationsOf({
    store: { read: () => Promise.resolve(view) },
    publisher: { send: (_entity, messages) => Promise.resolve(void sent.push(...messages)) },
    telemetry: { emit: (event, about) => void emitted.push({ event, about }) },
    retryEntity: "input",
    secret,
    compensateAfterMs: afterMs,
  });
  const packed = Buffer.from(encodeOutbox([{ ...message, headers }])).toString("base64");
  return {
    sent,
    emitted,
    look(changes: Partial<CompensateData> = {}): Promise<JobResult> {
      const data: CompensateData = { eventId, reason: "", description: "", generation: 0, message: packed, sent: 0, ...changes };
      return handler({ kind: "compensate", id: "a", data, attempt: 1 }, new AbortController().signal);
    },
  };
}

describe("a run under compensation that nobody is at", () => {
  test("has a message sent for it, with an order that only its workers can make, and says so with its event's trace", async () => {
    const bench = benchOf(failed);
    const result = await bench.look();
    const [one] = bench.sent;
    assert.ok(one !== undefined && typeof one.headers[undoHeader] === "string");
    const delivery = deliveryOf({ ...one, contentType: one.contentType });
    assert.equal(verifiedUndo(secret, delivery)?.eventId, eventId);
    assert.equal(verifiedUndo("another", delivery), undefined);
    assert.ok(result.kind === "again" && result.afterMs === afterMs && (result.data as CompensateData).sent === 1);
    const [told] = bench.emitted;
    assert.deepEqual(told?.event, { type: "recovery.continued", eventId, sent: 1 });
    assert.ok(told?.about !== undefined && "lineage" in told.about && !told.about.ofPlatform);
    const { traceId, correlationId, projectId } = envelope;
    assert.deepEqual(told.about.lineage, { traceId, correlationId, projectId, tenantId: envelope.tenantId ?? "" });
  });

  test("that a platform event brought about is marked as such", async () => {
    const bench = benchOf(failed, { [platformEventHeader]: true });
    await bench.look();
    assert.ok(bench.emitted.every(({ about }) => about !== undefined && "ofPlatform" in about && about.ofPlatform));
  });

  test("is sent another message under another id, up to ten, and then left to people", async () => {
    const bench = benchOf(failed);
    await bench.look({ sent: 1 });
    await bench.look({ sent: 9 });
    await bench.look({ sent: 9 });
    assert.deepEqual([new Set(bench.sent.map(({ messageId }) => messageId)).size, bench.sent.length], [2, 3]);
    await assert.rejects(bench.look({ sent: 10 }), /found that 10 messages sent for it did not get there; undo it by hand/);
  });
});

describe("a run under compensation", () => {
  const looked = async (changes: Partial<RunView>, data: Partial<CompensateData> = {}): Promise<string> => {
    const bench = benchOf({ ...failed, ...changes });
    const result = await bench.look(data);
    return `${result.kind}${result.kind === "again" ? ` ${result.afterMs}` : ""}, ${bench.sent.length} sent`;
  };

  test("that somebody is at, or was a moment ago, is looked at again later", async () => {
    const claim = { token: "w:1", leftMs: 5_000 };
    assert.equal(await looked({ state: "running", claim }), "again 50000, 0 sent");
    assert.equal(await looked({ state: "running", claim: { ...claim, leftMs: 70_000 } }), "again 60000, 0 sent");
    assert.equal(await looked({ state: "running", claim: { ...claim, leftMs: -1 }, writtenAgoMs: 59_900 }), "again 1000, 0 sent");
    assert.equal(await looked({ state: "running", claim: { ...claim, leftMs: -1 }, writtenAgoMs: 60_000 }), "again 60000, 1 sent");
    assert.equal(await looked({ reason: "HTTP_503" }), "again 50000, 0 sent");
    assert.equal(await looked({ reason: "HTTP_503", writtenAgoMs: 60_000 }), "again 60000, 1 sent");
  });

  test("that has ended, started over or never failed for good needs nothing", async () => {
    for (const state of ["done", "dead", "parked"] as const) assert.equal(await looked({ state }), "done, 0 sent");
    assert.equal(await looked({ generation: 1 }), "done, 0 sent");
    assert.equal(await looked({ steps: [] }), "done, 0 sent");
    const [verdict] = failed.steps;
    assert.ok(verdict !== undefined);
    assert.equal(await looked({ steps: [{ ...verdict, name: "pay" }] }), "done, 0 sent");
    // Its message was delivered too often before its failure was on record: the order says why.
    assert.equal(await looked({ steps: [{ ...verdict, name: "pay" }] }, { reason: "DeliveryLimit", description: "too often" }), "again 60000, 1 sent");
    assert.equal((await benchOf(undefined).look()).kind, "done");
  });
});
