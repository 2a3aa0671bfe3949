// What is kept of a run for the recovery queue, when its message may not last until the run is compensated.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { copyOf, enqueuedFirstHeader, enqueuedFirstMs, originHeader, waitsForHeader } from "#runtime/core/copy.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import { decodeOutbox } from "#runtime/core/outbox.ts";
import type { SkillTable } from "#runtime/core/skill.ts";
import { type CompensateData, signUndo, undoHeader } from "#runtime/core/undo-order.ts";
import { HandOver } from "#runtime/pipeline/hand-over.ts";
import type { Source } from "#runtime/pipeline/source.ts";
import { Work } from "#runtime/pipeline/work.ts";
import type { NewJob, RecoveryQueue } from "#runtime/ports/recovery-queue.ts";
import { delivery, envelope, json, routeHeaders } from "../support/event-messages.ts";
import { skillPolicy } from "../support/pipeline-world.ts";

const secret = "secret";
const compensateAfterMs = 60_000;
/** The first of its worker. */
const source = { number: 0, consumer: "orders" } as Source;
const tooOften = { reason: "DeliveryLimit", description: "too often" } as const;

function benchOf({ critical = true, isAway = false, hasQueue = true } = {}) {
  const jobs: NewJob[] = [];
  const hurried: string[] = [];
  const queue = {
    add(job: NewJob): Promise<"added"> {
      if (isAway) return Promise.reject(new StoreUnavailableError("away"));
      jobs.push(job);
      return Promise.resolve("added");
    },
    hurry(kind: string, id: string): Promise<boolean> {
      hurried.push(`${kind} ${id}`);
      return isAway ? Promise.reject(new StoreUnavailableError("away")) : Promise.resolve(true);
    },
  } as unknown as RecoveryQueue;
  const skills: SkillTable = { policies: [skillPolicy("trip", { critical })], handled: new Map(), find: () => "unknown-type" };
  const handOver = new HandOver({ source: { skills }, recovery: hasQueue ? { queue, compensateAfterMs } : undefined });
  handOver.start(secret);
  return { handOver, jobs, hurried };
}

/** The third delivery of a copy that was made for a retry. */
function workOf(headers: Readonly<Record<string, string>> = {}): Work {
  const first = delivery(json(envelope), { ...routeHeaders, ...headers });
  const copy = copyOf(first, { atMs: 0, secret, postponements: 2, retriesInPlace: 1, isApart: true, waitsFor: "HTTP_503" });
  const work = new Work(1, source, { ...delivery(copy.body, copy.headers), messageId: copy.messageId, enqueuedAtMs: 5_000 }, 0);
  work.generation = 2;
  return work;
}

describe("a run whose message may not last until it is compensated", () => {
  test("is kept as a job with its message, which leaves behind what was noted of its tries but not how old it is", async () => {
    const { handOver, jobs } = benchOf();
    const work = workOf();
    assert.equal(await handOver.keep(work), true);
    const [job] = jobs;
    const data = job?.data as CompensateData;
    assert.deepEqual([job?.kind, job?.id, job?.delayMs, job?.replacesEnded], ["compensate", `${envelope.eventId} 2`, compensateAfterMs, true]);
    assert.deepEqual([data.eventId, data.generation, data.reason, data.sent], [envelope.eventId, 2, "", 0]);
    const [message] = decodeOutbox(Buffer.from(data.message, "base64"));
    assert.ok(work.delivery.header(waitsForHeader) === "HTTP_503", "expected a copy that waited for something");
    assert.deepEqual(
      Object.keys(message?.headers ?? {})
        .filter((name) => name.startsWith("holdfast-"))
        .sort(),
      [enqueuedFirstHeader, originHeader].sort(),
    );
    assert.deepEqual([message?.headers[originHeader], message?.headers[enqueuedFirstHeader]], ["m", enqueuedFirstMs(work.delivery)]);
    assert.deepEqual(JSON.parse(Buffer.from(message?.body ?? []).toString("utf8")), envelope);
  });

  test("is due at once when its message is over; where the queue does not answer, in its own time", async () => {
    const { handOver, hurried } = benchOf({ isAway: true });
    handOver.hurry(workOf());
    assert.deepEqual(hurried, [`compensate ${envelope.eventId} 2`]);
    assert.equal(await handOver.keep(workOf()), false);
  });

  test("is left to its message where there is no recovery queue", () => {
    const { handOver } = benchOf({ hasQueue: false });
    assert.deepEqual([handOver.keep(workOf()), handOver.keepUnseen(workOf(), tooOften)], [undefined, undefined]);
  });
});

describe("a message that was delivered too often to be looked at", () => {
  test("has a job at once that says why, where skills are critical and its event is known", async () => {
    const { handOver, jobs } = benchOf();
    assert.equal(await handOver.keepUnseen(workOf(), tooOften), true);
    const [job] = jobs;
    assert.ok(job !== undefined);
    const { reason, description, generation } = job.data as CompensateData;
    assert.deepEqual([reason, description, generation, job.delayMs], [tooOften.reason, tooOften.description, undefined, 0]);
    assert.equal(benchOf({ critical: false }).handOver.keepUnseen(workOf(), tooOften), undefined);
    assert.equal(handOver.keepUnseen(new Work(1, source, delivery(json({})), 0), tooOften), undefined);
  });

  test("has none where it was itself sent for compensations, by the consumer's own order for this event alone", () => {
    const { handOver } = benchOf();
    const order = signUndo(secret, { eventId: envelope.eventId, reason: "FULL", description: "full" }, json(envelope));
    assert.equal(handOver.keepUnseen(workOf({ [undoHeader]: order }), tooOften), undefined);
    assert.deepEqual(handOver.orderOf(workOf({ [undoHeader]: order }))?.reason, "FULL");
    const forged = signUndo("another", { eventId: envelope.eventId, reason: "FULL", description: "full" }, json(envelope));
    const ofAnother = signUndo(secret, { eventId: "another", reason: "FULL", description: "full" }, json(envelope));
    for (const header of [forged, ofAnother, "{}", "no JSON"]) assert.equal(handOver.orderOf(workOf({ [undoHeader]: header })), undefined);
  });
});
