// Records and messages that disagree in every way that reconcile knows, in memory and on a clock of the test.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { encodeVerdict } from "#runtime/core/compensation.ts";
import { headersOfDeath } from "#runtime/core/death.ts";
import type { HeaderValue, OutgoingMessage } from "#runtime/core/delivery.ts";
import { createPayloadHash } from "#runtime/core/payload-hash.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import type { RunView } from "#runtime/core/run.ts";
import { createSqliteRunRecords } from "#runtime/adapters/sqlite/run-records.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import type { DeadLetterBox } from "#runtime/ports/dead-letters.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import type { RunRecords } from "#runtime/ports/run-records.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import type { SweepScene } from "#runtime/recovery/sweeps.ts";
import { DeadLetters } from "../../bench/drills/crash-points/dead-letters.ts";
import { deathOf, stepOf } from "../contracts/run-store-fixtures.ts";
import { envelope, json } from "./event-messages.ts";
import { Faults } from "#runtime/testing/world/faults.ts";
import { type BrokerConnection, ModelBroker, queueName } from "#runtime/testing/world/model-broker.ts";
import type { Stored } from "#runtime/testing/world/model-queue.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { type ProcessClock, SimClock } from "#runtime/testing/world/sim-clock.ts";

const consumer = queueName;
const leaseMs = 1_000;
export const quietMs = 60_000;

/** What one process that reconciles has of the world. */
export interface Ports<Sender extends Publisher = Publisher> {
  readonly store: RunStore;
  readonly records: RunRecords;
  readonly publisher: Sender;
  readonly queue: DeadLetterBox;
  readonly letters: DeadLetterBox;
}

function messageOf(eventId: string): OutgoingMessage {
  const { eventType, version } = envelope;
  const headers: Record<string, HeaderValue> = { eventId, eventType, version };
  return { messageId: `m-${eventId}`, body: json({ ...envelope, eventId }), contentType: "application/json", subject: undefined, headers };
}

export class ReconcileWorld {
  readonly clock: SimClock = new SimClock();
  readonly broker: ModelBroker = new ModelBroker({ clock: this.clock, lockMs: 10_000 });
  readonly #letters: DeadLetters = new DeadLetters(this.broker);
  readonly store: RunStore;
  readonly records: RunRecords;
  readonly #hash = createPayloadHash(defaultDecodeLimits);

  private constructor(path: string) {
    const options = { path, consumer, retentionMs: 86_400_000, clock: this.clock };
    this.store = createSqliteRunStore(options);
    this.records = createSqliteRunRecords(options);
  }

  static async open(t: TestContext): Promise<ReconcileWorld> {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-reconcile-"));
    const world = new ReconcileWorld(join(folder, "runs.sqlite"));
    await world.store.start();
    await world.records.start();
    t.after(async () => {
      await world.records.stop();
      await world.store.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    return world;
  }

  /** One disagreement of each kind; nothing was written for long. */
  async disagree(): Promise<void> {
    for (const eventId of ["done-message", "done-letter"]) {
      await this.claim(eventId);
      await this.store.finish([{ eventId, epoch: 1, outbox: new Uint8Array(0) }]);
    }
    this.broker.accept(queueName, [messageOf("done-message")]);
    this.letter("done-letter", "Screened");
    for (const eventId of ["unfinished", "unfinished-letter"]) await this.wait(eventId);
    this.letter("unfinished-letter", "Screened");
    for (const eventId of ["undoing", "undoing-letter"]) await this.undoing(eventId);
    this.letter("undoing-letter", "Screened");
    for (const state of ["dead", "parked"] as const) {
      const eventId = `${state}-alone`;
      await this.claim(eventId);
      await this.store.fail([{ eventId, epoch: 1, state, reason: "REFUSED", failures: 1, losses: 0, death: deathOf({ atMs: this.clock.wallMs() }) }]);
    }
    this.letter("forgotten", "REFUSED", headersOfDeath(deathOf({ atMs: this.clock.wallMs() })));
    await this.clock.advance(10 * quietMs);
  }

  async claim(eventId: string): Promise<void> {
    const payloadHash = await this.hashOf(messageOf(eventId));
    const [claim] = await this.store.claim([{ eventId, token: `w ${eventId}`, payloadHash, pipelineHash: "p" }], leaseMs);
    assert.equal(claim?.kind, "acquired");
  }

  /** Waits for a retry, with one step done. */
  async wait(eventId: string): Promise<void> {
    await this.claim(eventId);
    await this.store.checkpoint([{ eventId, epoch: 1, step: stepOf("one") }]);
    await this.store.fail([{ eventId, epoch: 1, state: "waiting", reason: "HTTP_503", failures: 1, losses: 0 }]);
  }

  /** Has failed for good, and was being compensated when its worker ended. */
  async undoing(eventId: string): Promise<void> {
    await this.claim(eventId);
    const verdict = encodeVerdict({ reason: "FULL", description: "no", failures: 1, losses: 0 });
    await this.store.checkpoint([stepOf("one"), verdict].map((step) => ({ eventId, epoch: 1, step })));
  }

  letter(eventId: string, reason: string, properties: Readonly<Record<string, HeaderValue>> = {}): void {
    const { stored, clock } = this.broker;
    stored.push({
      sequenceNumber: BigInt(stored.length + 1),
      message: messageOf(eventId),
      enqueuedAtMs: clock.wallMs(),
      state: "dead-lettered",
      failedDeliveries: 0,
      lock: undefined,
      reason,
      properties: { ...properties, DeadLetterReason: reason, DeadLetterErrorDescription: "by hand" },
    });
  }

  async hashOf(message: OutgoingMessage): Promise<string> {
    const route = readRoute(this.#deliveryOf(message), defaultDecodeLimits);
    assert.ok(route.ok);
    return this.#hash(message.body, route);
  }

  #deliveryOf(message: OutgoingMessage): Parameters<typeof readRoute>[0] {
    return { ...message, bodySection: "data", header: (name: string) => message.headers[name], headers: () => message.headers } as never;
  }

  /** What a process gets that starts now; nothing reaches it once its clock is killed. */
  connect(process: ProcessClock): Ports<BrokerConnection> {
    const connection = this.broker.connect(process, new Faults(seededRandom(1)), () => undefined);
    return { store: this.store, records: this.records, publisher: connection, queue: this.#queueOf(connection), letters: this.#letters.boxFor(process) };
  }

  #queueOf(connection: BrokerConnection): DeadLetterBox {
    const { broker } = this;
    const peeked = (stored: Stored) => ({
      delivery: { ...this.#deliveryOf(stored.message), sequenceNumber: stored.sequenceNumber, enqueuedAtMs: stored.enqueuedAtMs, attempt: 1 } as never,
      state: stored.state === "scheduled" ? ("scheduled" as const) : ("active" as const),
      scheduledAtMs: undefined,
      deadLetterSource: undefined,
    });
    return {
      name: queueName,
      isOwn: true,
      transport: connection,
      start: async () => undefined,
      stop: async () => undefined,
      peek: async (from, count) =>
        broker.open
          .filter(({ sequenceNumber }) => sequenceNumber >= from)
          .slice(0, count)
          .map(peeked),
    };
  }

  scene(process: ProcessClock, { store, records, publisher, queue, letters }: Ports, signal: AbortSignal = new AbortController().signal): SweepScene {
    return {
      clock: process,
      queues: [queue],
      letters: { boxes: [letters], sources: [queueName], readRoute: (delivery) => readRoute(delivery, defaultDecodeLimits) },
      records,
      store,
      hashPayload: this.#hash,
      quietMs,
      peekMax: 1_000,
      signal,
      publisher,
      retryEntity: queueName,
      who: "ada@desk",
      stop: async () => undefined,
    };
  }

  /** How everything stands: each record, and the messages of its event by place and id; what is there twice under one id counts once. */
  async standing(): Promise<Readonly<Record<string, readonly string[]>>> {
    const eventIds = new Set([
      ...this.broker.stored.map(({ message }) => String(message.headers["eventId"])),
      "unfinished",
      "undoing",
      "dead-alone",
      "parked-alone",
    ]);
    const told: [string, readonly string[]][] = [];
    for (const eventId of [...eventIds].toSorted()) {
      const view = await this.store.read(eventId);
      const messages = this.broker.stored.filter(({ message, state }) => message.headers["eventId"] === eventId && state !== "completed");
      const places = new Set(messages.map(({ message, state, reason }) => `${message.messageId} ${state} ${reason ?? ""}`));
      // The rest of a replay's id is another one in each world.
      told.push([eventId, [recordText(view), ...[...places].map((place) => place.replace(/~\S+/, "~replay"))]]);
    }
    return Object.fromEntries(told);
  }
}

function recordText(view: RunView | undefined): string {
  if (view === undefined) return "no record";
  const kinds = new Set(view.history.map(({ kind }) => kind));
  return `${view.state} ${view.reason ?? ""}; steps ${view.steps.map(({ name }) => name).join()}; ${[...kinds].join()}`;
}
