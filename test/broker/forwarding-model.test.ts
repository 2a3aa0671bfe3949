// Queues that forward to one another in any shape, circles too: whatever is sent, settled, disabled or set to forward elsewhere,
// each message is in exactly one place, or was completed.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Consumer } from "#load/broker/entities/consumers.ts";
import type { MessageContent, StoredMessage } from "#load/broker/entities/message.ts";
import { Namespace } from "#load/broker/entities/namespace.ts";
import type { MessageQueue } from "#load/broker/entities/queue.ts";
import type { Settlement } from "#load/broker/entities/settlement.ts";
import { ManualClock } from "../support/manual-clock.ts";

const names = ["a", "b", "c", "d"];
const target = fc.constantFrom(undefined, ...names);

const queueConfig = fc.record({
  forwardTo: target,
  forwardDeadLettersTo: target,
  deliveryCountMax: fc.constantFrom(1, 3),
  deadLetterOnExpiry: fc.constant(true),
  status: fc.constantFrom("Active" as const, "Active" as const, "SendDisabled" as const),
  messageBytesMax: fc.constantFrom(1000, 5),
});

const step = fc.record({
  op: fc.constantFrom("send", "send", "receive", "receive", "settle", "settle", "advance", "change", "expireLocks"),
  queue: fc.constantFrom(...names),
  to: target,
  pick: fc.nat(5),
  place: fc.constantFrom("main", "main", "letters", "transfers"),
  kind: fc.constantFrom("complete" as const, "abandon" as const, "deadLetter" as const, "defer" as const),
  bytes: fc.constantFrom(1, 10),
  livesMs: fc.constantFrom(undefined, 50),
});

function contentOf(messageId: string, bytes: number, timeToLiveMs: number | undefined): MessageContent {
  return {
    bare: Buffer.alloc(bytes),
    durable: false,
    priority: 4,
    timeToLiveMs,
    annotations: undefined,
    annotationCount: 0,
    messageId,
    sessionId: undefined,
    partitionKey: undefined,
    scheduledAtMs: undefined,
  };
}

function settlementOf(kind: Settlement["kind"]): Settlement {
  if (kind === "complete" || kind === "release") return { kind };
  if (kind === "deadLetter") return { kind, properties: undefined };
  return { kind, properties: undefined };
}

interface Held {
  readonly queue: MessageQueue;
  readonly message: StoredMessage;
  readonly lockId: number;
}

class World {
  readonly clock = new ManualClock(1_000_000);
  readonly namespace: Namespace;
  readonly sent = new Set<string>();
  readonly completed = new Set<string>();
  readonly held: Held[] = [];

  constructor(configs: readonly object[]) {
    this.namespace = new Namespace(
      { queues: names.map((name, i) => ({ name, lockDurationMs: 100, ...configs[i] })), topics: [] },
      { clock: this.clock, record: false },
    );
  }

  queueOf(name: string, place: string): MessageQueue {
    const queue = this.namespace.queues.get(name);
    const found = place === "letters" ? queue?.deadLetters : place === "transfers" ? queue?.transferLetters : queue;
    assert.ok(found);
    return found;
  }

  receive(queue: MessageQueue): void {
    const consumer: Consumer = { mode: "peekLock", name: "c", deliver: (message, lockId) => void this.held.push({ queue, message, lockId }) };
    queue.setCredit(consumer, 1);
    queue.removeConsumer(consumer);
  }

  settle(pick: number, kind: Settlement["kind"]): void {
    const [held] = this.held.splice(pick % Math.max(1, this.held.length), 1);
    if (held === undefined) return;
    const { queue, message, lockId } = held;
    const result = queue.settle(message, lockId, settlementOf(kind));
    if (kind === "complete" && result === "settled") this.completed.add(message.content.messageId);
  }

  check(): void {
    const places = new Map<string, string>();
    for (const queue of this.namespace.allQueues()) {
      for (const { content } of queue.messages()) {
        const other = places.get(content.messageId);
        assert.equal(other, undefined, `${content.messageId} is in ${other} and in ${queue.path}`);
        assert.equal(this.completed.has(content.messageId), false, `${content.messageId} was completed and is in ${queue.path}`);
        places.set(content.messageId, queue.path);
      }
      const { counters: c } = queue;
      const wentOut = c.completed + c.receivedAndDeleted + c.deadLettered + c.expiredDropped + c.cancelled + c.deleted + c.forwarded;
      assert.equal(c.accepted + c.scheduledAccepted + c.movedIn - wentOut, queue.size, `expected the account of ${queue.path} to be what it holds`);
    }
    for (const id of this.sent) assert.ok(places.has(id) || this.completed.has(id), `expected ${id} to be somewhere`);
  }
}

test("each message is in one place, however queues forward to one another", () => {
  fc.assert(
    fc.property(fc.tuple(queueConfig, queueConfig, queueConfig, queueConfig), fc.array(step, { maxLength: 60, size: "max" }), (configs, steps) => {
      const world = new World(configs);
      for (const { op, queue: name, to, pick, place, kind, bytes, livesMs } of steps) {
        const queue = world.queueOf(name, place);
        const main = world.queueOf(name, "main");
        if (op === "send") {
          const id = `m${world.sent.size}`;
          world.sent.add(id);
          main.accept(contentOf(id, bytes, livesMs));
          main.dispatch();
        } else if (op === "receive") world.receive(queue);
        else if (op === "settle") world.settle(pick, kind);
        else if (op === "advance") world.clock.advance(60);
        else if (op === "expireLocks") queue.expireLocksNow(() => true);
        else world.namespace.configureQueue(main, { ...main.settings, ...(pick < 3 ? { forwardTo: to } : { forwardDeadLettersTo: to }) });
        world.check();
      }
      world.namespace.stop();
      assert.equal(world.clock.pending, 0);
    }),
    { numRuns: 1500 },
  );
});
