// Whatever happens to entities, a journal brings back what they held: any sequence of sends, schedules, receipts, settlements,
// session states and passing time, with the file rewritten in between, and a crash at the end.
import { strict as assert } from "node:assert";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import * as fc from "fast-check";
import { readEntities } from "#load/broker/entities/config.ts";
import { lettersOf, mergeProperties, type MessageContent, type StoredMessage } from "#load/broker/entities/message.ts";
import { Namespace } from "#load/broker/entities/namespace.ts";
import type { MessageQueue } from "#load/broker/entities/queue.ts";
import type { SessionConsumer } from "#load/broker/entities/sessions.ts";
import type { Settlement } from "#load/broker/entities/settlement.ts";
import { Journal } from "#load/broker/journal/journal.ts";
import { mergeEntities } from "#load/broker/journal/merge.ts";
import { restore, startKeeping } from "#load/broker/journal/restore.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = readEntities({
  queues: [
    { name: "plain", lockDurationMs: 100, deliveryCountMax: 2, deadLetterOnExpiry: true },
    { name: "dedupe", lockDurationMs: 100, requiresDuplicateDetection: true, duplicateWindowMs: 150 },
    { name: "steps", lockDurationMs: 100, requiresSession: true },
    { name: "onward", forwardTo: "plain" },
  ],
  topics: [{ name: "news", requiresDuplicateDetection: true, duplicateWindowMs: 150, subscriptions: ["a", { name: "b", deliveryCountMax: 1 }] }],
});
const sendTo = ["plain", "dedupe", "steps", "onward", "news"];
const receiveFrom = ["plain", "dedupe", "steps", "news/Subscriptions/a", "news/Subscriptions/b", "plain/$DeadLetterQueue"];

interface Step {
  readonly op: "send" | "schedule" | "receive" | "receiveDeferred" | "settle" | "cancel" | "state" | "advance" | "turn";
  readonly where: number;
  readonly pick: number;
  readonly kind: Settlement["kind"];
  readonly ms: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  op: fc.oneof(
    { weight: 5, arbitrary: fc.constant("send" as const) },
    { weight: 5, arbitrary: fc.constant("receive" as const) },
    { weight: 6, arbitrary: fc.constant("settle" as const) },
    {
      weight: 4,
      arbitrary: fc.constantFrom("schedule" as const, "receiveDeferred" as const, "cancel" as const, "state" as const, "advance" as const, "turn" as const),
    },
  ),
  where: fc.nat(5),
  pick: fc.nat(5),
  kind: fc.constantFrom("complete", "abandon", "release", "defer", "deadLetter"),
  ms: fc.constantFrom(1, 60, 100, 200),
});

interface Held {
  readonly queue: MessageQueue;
  readonly message: StoredMessage;
  readonly lockId: number;
}

/** A namespace with its journal in a folder, and clients that do as asked. */
class World {
  readonly namespace: Namespace;
  readonly journal: Journal;
  readonly #clock: ManualClock;
  readonly #held: Held[] = [];
  readonly #consumers: { readonly queue: MessageQueue; readonly consumer: SessionConsumer }[] = [];
  readonly #scheduled: { readonly where: string; readonly number: number }[] = [];
  #sent = 0;

  constructor(folder: string, clock: ManualClock) {
    this.#clock = clock;
    this.journal = new Journal(folder, { compactBytesMin: 3000 }, (line) => assert.fail(line));
    const kept = this.journal.read();
    this.namespace = new Namespace(mergeEntities(entities, kept.definitions), { clock, record: false, journalOf: (path) => this.journal.entity(path) });
    restore(this.namespace, kept);
    startKeeping(this.journal, this.namespace, entities);
  }

  async do({ op, where, pick, kind, ms }: Step): Promise<void> {
    switch (op) {
      case "send":
        return this.#send(where, pick, ms);
      case "schedule": {
        const path = sendTo[where % sendTo.length] ?? "plain";
        this.#scheduled.push({ where: path, number: this.#destination(path).schedule(this.#content(pick, undefined), this.#clock.now() + ms) });
        return;
      }
      case "cancel": {
        const scheduled = this.#scheduled[pick];
        if (scheduled !== undefined) this.#destination(scheduled.where).cancelScheduled([scheduled.number]);
        return;
      }
      case "receive":
        return this.#receive(this.#queue(where), pick === 0 ? "receiveAndDelete" : "peekLock", 1 + (pick % 3));
      case "receiveDeferred":
        return this.#receiveDeferred(this.#queue(where));
      case "settle": {
        const [held] = this.#held.splice(pick % Math.max(1, this.#held.length), 1);
        if (held !== undefined) held.queue.settle(held.message, held.lockId, settlementOf(kind, pick));
        return;
      }
      case "state":
        return this.#queueAt("steps").sessions?.setState(`s${pick % 2}`, pick > 3 ? undefined : Buffer.from(`state ${ms}`));
      case "advance":
        return this.#clock.advance(ms);
      case "turn":
        await nextTurn();
    }
  }

  /** As if every lock had ended at once, which is what a restart does to them. */
  endLocks(): void {
    for (const { queue, consumer } of this.#consumers) queue.setCredit(consumer, 0);
    for (const queue of this.namespace.allQueues()) queue.expireLocksNow(() => true);
  }

  stop(): void {
    this.namespace.stop();
    this.journal.close();
  }

  #content(pick: number, timeToLiveMs: number | undefined): MessageContent {
    const id = pick < 2 ? `repeated-${pick}` : `m${++this.#sent}`;
    return {
      bare: Buffer.from(`body of ${id}`),
      durable: pick % 2 === 0,
      priority: 4,
      timeToLiveMs,
      annotations: pick === 3 ? Buffer.from([0xa3, 1, 97, 0x40]) : undefined,
      annotationCount: pick === 3 ? 1 : 0,
      messageId: id,
      sessionId: `s${pick % 2}`,
      partitionKey: undefined,
      scheduledAtMs: undefined,
    };
  }

  #send(where: number, pick: number, ms: number): void {
    const destination = this.#destination(sendTo[where % sendTo.length] ?? "plain");
    destination.accept(this.#content(pick, pick === 4 ? ms : undefined));
    destination.dispatch();
  }

  #receive(queue: MessageQueue, mode: SessionConsumer["mode"], credit: number): void {
    const consumer: SessionConsumer = {
      mode,
      name: "test",
      deliver: (message, lockId) => {
        if (lockId !== 0) this.#held.push({ queue, message, lockId });
      },
      onSessionLost: () => undefined,
    };
    if (queue.sessions !== undefined) {
      const lock = queue.sessions.lockNext();
      if (lock === undefined) return;
      queue.sessions.open(lock, consumer);
    }
    this.#consumers.push({ queue, consumer });
    queue.setCredit(consumer, credit);
  }

  #receiveDeferred(queue: MessageQueue): void {
    const deferred = [...queue.messages()].find(
      ({ state, lockId, content }) => state === "deferred" && lockId === 0 && (queue.sessions === undefined || content.sessionId === "s0"),
    );
    // The protocol asks for the session's lock first.
    if (deferred === undefined || (queue.sessions !== undefined && queue.sessions.lockedUntil(deferred.content.sessionId) === undefined)) return;
    for (const message of queue.receiveDeferred([deferred.sequenceNumber], "peekLock", "test", deferred.content.sessionId) ?? [])
      this.#held.push({ queue, message, lockId: message.lockId });
  }

  #queue(where: number): MessageQueue {
    return this.#queueAt(receiveFrom[where % receiveFrom.length] ?? "plain");
  }

  #queueAt(path: string): MessageQueue {
    const found = this.namespace.resolve(path);
    assert.ok(found.kind === "queue");
    return found.queue;
  }

  #destination(path: string): MessageQueue | NonNullable<ReturnType<Namespace["topics"]["get"]>> {
    return this.namespace.topics.get(path) ?? this.#queueAt(path);
  }
}

function settlementOf(kind: Settlement["kind"], pick: number): Settlement {
  const properties =
    pick % 2 === 0
      ? undefined
      : new Map<string, string | Buffer>([
          ["why", `reason ${pick}`],
          ["raw", Buffer.from([0x50, pick])],
        ]);
  switch (kind) {
    case "complete":
    case "release":
      return { kind };
    case "abandon":
    case "defer":
      return { kind, properties };
    case "deadLetter":
      return { kind, properties: mergeProperties(properties, lettersOf("r", undefined)) };
  }
}

/** Everything that has to outlast a crash. */
function accountOf({ namespace }: World): unknown {
  return [...namespace.allQueues(), ...namespace.topics.values()].map((holder) => ({
    path: holder.path,
    messages: [...holder.messages()].map(
      ({
        content,
        sequenceNumber,
        enqueuedSequenceNumber,
        enqueuedAtMs,
        state,
        deliveryCount,
        isInDoubt,
        expiresAtMs,
        dueAtMs,
        properties,
        deadLetteredBy,
        isBuried,
        hops,
      }) => ({
        content,
        numbers: [sequenceNumber, enqueuedSequenceNumber, enqueuedAtMs, expiresAtMs, dueAtMs, deliveryCount, hops],
        state,
        isInDoubt,
        properties: [...(properties ?? [])],
        letter: [deadLetteredBy, isBuried],
      }),
    ),
    states: "states" in holder ? holder.states : holder.scheduledCount,
    sessions:
      "sessions" in holder && holder.sessions !== undefined
        ? [...holder.sessions.all()]
            .filter(({ state }) => state !== undefined)
            .map(({ sessionId, state }) => `${sessionId}: ${state?.toString() ?? ""}`)
            .sort()
        : [],
    // What is past its window counts no more, and may be gone or not.
    seen: [...holder.history.entries()].filter(([, atMs]) => atMs + holder.settings.duplicateWindowMs > namespace.nowMs),
  }));
}

const plain = { where: 0, pick: 0, kind: "complete", ms: 1 } as const;

/** Found at random once: a settlement that came too late leaves a message in doubt, and the journal has to know. */
const settledTooLate: readonly Step[] = [
  { ...plain, op: "receive", pick: 1 },
  { ...plain, op: "receive", pick: 1 },
  { ...plain, op: "send" },
  { ...plain, op: "settle", kind: "abandon" },
  { ...plain, op: "send" },
  { ...plain, op: "send", where: 1 },
  { ...plain, op: "send", where: 1 },
  { ...plain, op: "advance", ms: 100 },
  { ...plain, op: "send" },
  { ...plain, op: "settle", pick: 2, kind: "defer" },
  { ...plain, op: "settle", pick: 1 },
  { ...plain, op: "schedule" },
  { ...plain, op: "send" },
];

test("a journal brings back what entities held, whatever happened to them, and once more after that", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-restoring-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 120 }), async (steps) => {
      const run = join(root, String(runs++));
      const folders = ["live", "first", "second"].map((name) => join(run, name));
      for (const folder of folders) mkdirSync(folder, { recursive: true });
      const crash = (from: string, to: string): void => copyFileSync(join(from, "messages.log"), join(to, "messages.log"));
      const [live = "", first = "", second = ""] = folders;
      const clock = new ManualClock(1_700_000_000_000);
      const worlds: World[] = [];
      const open = (folder: string): World => {
        const world = new World(folder, clock);
        worlds.push(world);
        return world;
      };
      try {
        const world = open(live);
        for (const each of steps) await world.do(each);
        world.journal.flush();
        crash(live, first);
        world.endLocks();
        const restored = open(first);
        assert.deepEqual(accountOf(restored), accountOf(world));
        restored.journal.flush();
        crash(first, second);
        assert.deepEqual(accountOf(open(second)), accountOf(restored));
      } finally {
        for (const world of worlds) world.stop();
        rmSync(run, { recursive: true });
      }
    }),
    { numRuns: 100, examples: [[[...settledTooLate]]] },
  );
});
