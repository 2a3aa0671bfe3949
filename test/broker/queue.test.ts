// The entity logic against a simple model: any sequence of sends, repeats, receipts, settlements, renewals, deletions, faults,
// passing time and lost time. Nothing is lost, nothing is under two live locks, every count is right, and what can be delivered
// comes in order.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Consumer } from "#load/broker/entities/consumers.ts";
import { MessageQueue } from "#load/broker/entities/queue.ts";
import type { Settlement } from "#load/broker/entities/settlement.ts";
import { lettersOf, type MessageContent, type StoredMessage } from "#load/broker/entities/message.ts";
import { queueDefaults } from "#load/broker/entities/settings.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { type ModelMessage, type ModelSettings, QueueModel } from "./queue-model.ts";

interface Step {
  readonly op:
    | "send"
    | "schedule"
    | "cancel"
    | "credit"
    | "settle"
    | "renew"
    | "advance"
    | "jump"
    | "receiveDeferred"
    | "leave"
    | "repeat"
    | "expireLocks"
    | "delete"
    | "letters";
  /** Picks among what there is, or says how much. */
  readonly pick: number;
  readonly kind: Settlement["kind"];
  readonly ms: number;
  readonly mode: Consumer["mode"];
}

const step: fc.Arbitrary<Step> = fc.record({
  op: fc.oneof(
    { weight: 4, arbitrary: fc.constant("send" as const) },
    { weight: 4, arbitrary: fc.constant("credit" as const) },
    { weight: 6, arbitrary: fc.constant("settle" as const) },
    { weight: 3, arbitrary: fc.constant("advance" as const) },
    { weight: 4, arbitrary: fc.constantFrom("schedule" as const, "cancel" as const, "renew" as const, "receiveDeferred" as const) },
    {
      weight: 3,
      arbitrary: fc.constantFrom("leave" as const, "repeat" as const, "jump" as const, "expireLocks" as const, "delete" as const, "letters" as const),
    },
  ),
  pick: fc.nat(7),
  kind: fc.constantFrom("complete", "abandon", "release", "defer", "deadLetter"),
  ms: fc.constantFrom(0, 1, 50, 99, 100, 101, 250),
  mode: fc.constantFrom("peekLock", "peekLock", "peekLock", "receiveAndDelete"),
});

const settings = fc.record({
  lockDurationMs: fc.constantFrom(100, 150),
  deliveryCountMax: fc.integer({ min: 1, max: 4 }),
  deadLetterOnExpiry: fc.boolean(),
  duplicateWindowMs: fc.constantFrom(undefined, 120),
});

function contentOf(id: string, timeToLiveMs: number | undefined): MessageContent {
  return {
    bare: Buffer.alloc(0),
    durable: false,
    priority: 4,
    timeToLiveMs,
    annotations: undefined,
    annotationCount: 0,
    messageId: id,
    sessionId: undefined,
    partitionKey: undefined,
    scheduledAtMs: undefined,
  };
}

function settlementOf(kind: Settlement["kind"]): Settlement {
  switch (kind) {
    case "complete":
    case "release":
      return { kind };
    case "abandon":
    case "defer":
      return { kind, properties: undefined };
    case "deadLetter":
      return { kind, properties: lettersOf("r", undefined) };
  }
}

/** The real queue and the model, driven together. */
class Pair {
  readonly clock: ManualClock;
  readonly queue: MessageQueue;
  readonly deadLetters: MessageQueue;
  readonly model: QueueModel;
  /** Letters that were taken out again, and their ids. */
  readonly lettersTaken: ModelMessage[] = [];
  /** Every lock that was ever given, with its message: clients settle late, too. */
  readonly locks: { readonly message: StoredMessage; readonly lockId: number }[] = [];
  readonly consumers: (Consumer & { credit: number })[] = [];
  #lastId = 0;
  #repeats = 0;

  constructor(config: ModelSettings, clock: ManualClock = new ManualClock(1_000_000)) {
    this.clock = clock;
    let lastLockId = 0;
    const common = {
      clock: this.clock,
      nextLockId: (): number => ++lastLockId,
      forward: (): undefined => undefined,
      timeToLiveMaxMs: (): number => Infinity,
      transferLetters: undefined,
      log: undefined,
      journal: undefined,
    };
    this.deadLetters = new MessageQueue({ ...common, path: "q/dead", settings: { ...queueDefaults, deliveryCountMax: Infinity }, deadLetters: undefined });
    const { duplicateWindowMs = 1, ...rest } = config;
    const settings = { ...queueDefaults, ...rest, duplicateWindowMs, requiresDuplicateDetection: config.duplicateWindowMs !== undefined };
    this.queue = new MessageQueue({ ...common, path: "q", settings, deadLetters: this.deadLetters });
    this.model = new QueueModel(config);
    for (const mode of ["peekLock", "peekLock", "receiveAndDelete"] as const) this.consumers.push(this.#newConsumer(mode));
  }

  #newConsumer(mode: Consumer["mode"]): Consumer & { credit: number } {
    const consumer = {
      mode,
      name: mode,
      credit: 0,
      deliver: (message: StoredMessage, lockId: number): void => {
        assert.ok(consumer.credit-- > 0, "expected no delivery without credit");
        this.model.delivered(message.content.messageId, message.sequenceNumber, lockId, message.deliveryCount, this.clock.now());
        if (lockId !== 0) this.locks.push({ message, lockId });
      },
    };
    return consumer;
  }

  take(each: Step): void {
    const nowMs = this.clock.now();
    const lock = this.locks[this.locks.length - 1 - (each.pick % Math.max(1, this.locks.length))];
    switch (each.op) {
      case "send":
      case "schedule":
      case "repeat":
        return this.#send(each, nowMs);
      case "cancel": {
        const scheduled = this.model.messages.filter(({ state }) => state === "scheduled");
        const sequence = scheduled[each.pick % Math.max(1, scheduled.length)]?.sequence ?? each.pick + 1;
        return assert.deepEqual(this.queue.cancelScheduled([sequence]), this.model.cancel(sequence) ? [] : [sequence]);
      }
      case "credit":
        return this.#credit(each);
      case "settle":
        if (lock === undefined) return;
        // The model goes first: the real queue may deliver again before it returns.
        return this.#compare(this.model.settle(lock.lockId, each.kind, nowMs), () => this.queue.settle(lock.message, lock.lockId, settlementOf(each.kind)));
      case "renew":
        if (lock === undefined) return;
        return this.#compare(this.model.renew(lock.lockId, nowMs), () => this.queue.renew(lock.lockId));
      case "receiveDeferred":
        return this.#receiveDeferred(each, nowMs);
      case "leave": {
        const consumer = this.consumers[each.pick % this.consumers.length];
        if (consumer === undefined) return;
        this.queue.removeConsumer(consumer);
        consumer.credit = 0;
        return;
      }
      case "advance":
        this.clock.advance(each.ms);
        this.model.tick(this.clock.now());
        return;
      case "jump":
        return this.#jump(each.ms);
      case "expireLocks":
        return this.#compare(this.model.expireLocks(nowMs), () => this.queue.expireLocksNow(() => true));
      case "delete":
        return this.#compare(this.model.deleteBatch(each.pick), () => this.queue.deleteBatch(each.pick, nowMs));
      case "letters":
        return this.#takeLetter(each);
    }
  }

  #compare<T>(expected: T, act: () => T): void {
    assert.equal(act(), expected);
  }

  /** Time passes unseen. Nobody may get anything before what was due has happened, so credit waits until then. */
  #jump(ms: number): void {
    const atMs = this.clock.now() + ms;
    this.model.tickLate(atMs);
    this.clock.jump(ms);
    this.clock.advance(0);
  }

  /** Takes the first dead letter and completes it, or lets it go again. */
  #takeLetter(each: Step): void {
    const [expected] = this.model.letters();
    let got: { readonly message: StoredMessage; readonly lockId: number } | undefined;
    const consumer: Consumer = { mode: "peekLock", name: "letters", deliver: (message, lockId) => (got = { message, lockId }) };
    this.deadLetters.setCredit(consumer, 1);
    this.deadLetters.removeConsumer(consumer);
    assert.deepEqual([got?.message.content.messageId, got?.message.sequenceNumber], [expected?.id, expected?.sequence]);
    if (got === undefined || expected === undefined) return;
    assert.equal(this.deadLetters.settle(got.message, got.lockId, settlementOf("deadLetter")), "notAllowed");
    const isDone = each.kind === "complete" || each.kind === "deadLetter";
    assert.equal(
      this.deadLetters.settle(
        got.message,
        got.lockId,
        isDone ? { kind: "complete" } : each.kind === "abandon" ? { kind: "abandon", properties: undefined } : { kind: "release" },
      ),
      "settled",
    );
    assert.equal(got.message.deliveryCount, expected.deliveryCount, "expected the count of a dead letter to stand still");
    if (isDone) {
      expected.state = "taken";
      this.lettersTaken.push(expected);
    }
  }

  #send(each: Step, nowMs: number): void {
    const id = `m${each.op === "repeat" ? Math.max(1, this.#lastId - each.pick) : ++this.#lastId}`;
    const timeToLiveMs = each.pick < 3 ? each.ms + 1 : undefined;
    const isRepeat = this.model.isRepeat(id, nowMs);
    if (isRepeat) {
      const schedules = each.ms % 2 === 1;
      if (schedules) assert.equal(this.queue.schedule(contentOf(id, undefined), nowMs + 1), this.model.skipSequence());
      else this.queue.accept(contentOf(id, undefined));
      this.#repeats++;
      return;
    }
    if (each.op === "schedule") {
      const expected = this.model.send(id, nowMs, timeToLiveMs ?? Infinity, nowMs + each.ms + 1);
      assert.equal(this.queue.schedule(contentOf(id, timeToLiveMs), nowMs + each.ms + 1), expected);
      return;
    }
    this.model.send(id, nowMs, timeToLiveMs ?? Infinity, undefined);
    this.queue.accept(contentOf(id, timeToLiveMs));
    this.queue.dispatch();
  }

  #credit(each: Step): void {
    const consumer = this.consumers.find(({ mode }) => mode === each.mode);
    if (consumer === undefined) return;
    consumer.credit = each.pick;
    this.queue.setCredit(consumer, each.pick);
  }

  #receiveDeferred(each: Step, nowMs: number): void {
    const candidates = this.model.messages.filter(({ state }) => state === "deferred");
    const sequence = candidates[each.pick % Math.max(1, candidates.length)]?.sequence ?? each.pick;
    const known = this.model.deferredAt(sequence) !== undefined;
    const found = this.queue.receiveDeferred([sequence], each.mode, "management");
    assert.equal(found !== undefined, known);
    for (const message of found ?? []) {
      this.model.receiveDeferred(sequence, message.lockId, nowMs);
      if (message.lockId !== 0) this.locks.push({ message, lockId: message.lockId });
    }
  }

  check(): void {
    const { queue, model } = this;
    assert.deepEqual(queue.states, {
      active: model.count("ready"),
      locked: model.count("locked"),
      scheduled: model.count("scheduled"),
      deferred: model.count("deferred"),
      deadLettered: model.count("dead"),
    });
    const { counters } = queue;
    assert.deepEqual(
      [
        counters.completed,
        counters.receivedAndDeleted + counters.deleted,
        counters.deadLettered,
        counters.expiredDropped,
        counters.cancelled,
        counters.duplicatesDropped,
      ],
      [
        model.count("completed"),
        model.count("deleted"),
        model.count("dead") + this.lettersTaken.length,
        model.count("expired"),
        model.count("cancelled"),
        this.#repeats,
      ],
    );
    assert.deepEqual(
      this.deadLetters.peek(0, 1000).map(({ content, sequenceNumber, deliveryCount }) => [content.messageId, sequenceNumber, deliveryCount]),
      model.letters().map(({ id, sequence, deliveryCount }) => [id, sequence, deliveryCount]),
    );
    const locked = this.locks.filter(({ message, lockId }) => message.lockId === lockId);
    assert.equal(new Set(locked.map(({ message }) => message.sequenceNumber)).size, locked.length, "expected no message under two live locks");
    const { delivered, abandoned, released, deferred, expiredLocks, renewedLocks, lockLost } = counters;
    assert.deepEqual({ delivered, abandoned, released, deferred, expiredLocks, renewedLocks, lockLost }, model.happened);
    const cameIn = counters.accepted + counters.scheduledAccepted + counters.movedIn;
    const wentOut =
      counters.completed +
      counters.receivedAndDeleted +
      counters.deadLettered +
      counters.expiredDropped +
      counters.cancelled +
      counters.deleted +
      counters.forwarded;
    assert.equal(cameIn - wentOut, queue.size, "expected what came in less what went out to be what is held");
    assert.equal(counters.deadLetteredByReceiver + counters.deadLetteredByDeliveryCount + counters.deadLetteredByExpiry, counters.deadLettered);
    assert.deepEqual(
      queue.peek(0, 1000).map(({ content, sequenceNumber }) => [content.messageId, sequenceNumber]),
      model.held().map(({ id, sequence }) => [id, sequence]),
    );
    assert.deepEqual(
      queue.peek(0, 1000).map(({ deliveryCount, lockId, lockedUntilMs, state }) => [deliveryCount, lockId, lockedUntilMs, state]),
      model
        .held()
        .map((message) => [
          message.deliveryCount,
          message.state === "locked" ? message.lockId : 0,
          message.state === "locked" ? message.lockedUntilMs : 0,
          message.state === "scheduled" ? "scheduled" : message.deferred ? "deferred" : "active",
        ]),
    );
    if (model.count("ready") > 0)
      assert.ok(
        this.consumers.every(({ credit }) => credit === 0),
        "expected no message to wait while there is credit",
      );
  }
}

test("agrees with a simple model after any sequence of steps", () => {
  fc.assert(
    fc.property(settings, fc.array(step, { minLength: 1, maxLength: 80, size: "max" }), (config, steps) => {
      const pair = new Pair(config);
      for (const each of steps) {
        pair.take(each);
        pair.check();
      }
      // Afterwards everything that is left can be got, and nothing keeps a timer.
      pair.clock.advance(10_000);
      pair.model.tick(pair.clock.now());
      for (const { state, sequence } of pair.model.messages) {
        if (state === "deferred") assert.equal(pair.queue.receiveDeferred([sequence], "receiveAndDelete", "end")?.length, 1);
      }
      const received: string[] = [];
      pair.queue.setCredit({ mode: "receiveAndDelete", name: "end", deliver: (message) => received.push(message.content.messageId) }, 1000);
      assert.equal(pair.queue.size, 0);
      assert.deepEqual(
        received.sort(),
        pair.model.messages
          .filter(({ state }) => state === "ready")
          .map(({ id }) => id)
          .sort(),
      );
    }),
    { numRuns: 2000 },
  );
});

test("goes by the clock where a timer is late: no lock outlives its time, nothing that has expired is delivered", () => {
  const clock = new ManualClock(1_000_000);
  const pair = new Pair({ lockDurationMs: 100, deliveryCountMax: 5, deadLetterOnExpiry: true, duplicateWindowMs: undefined }, clock);
  const { queue, locks } = pair;
  for (const id of ["settled", "renewed", "deferred"]) queue.accept(contentOf(id, undefined));
  const held: StoredMessage[] = [];
  const consumer: Consumer = { mode: "peekLock", name: "c", deliver: (message, lockId) => void (held.push(message), locks.push({ message, lockId })) };
  queue.setCredit(consumer, 3);
  const [settled, renewed, deferred] = held;
  assert.ok(settled && renewed && deferred);
  assert.equal(queue.settle(deferred, deferred.lockId, settlementOf("defer")), "settled");
  queue.accept(contentOf("short", 50));
  queue.schedule(contentOf("due", 10), clock.now() + 50);
  const settledLock = settled.lockId;
  clock.jump(100);
  assert.equal(queue.settle(settled, settledLock, settlementOf("complete")), "lockLost");
  assert.equal(queue.renew(renewed.lockId), undefined);
  const got: string[] = [];
  queue.setCredit({ mode: "receiveAndDelete", name: "d", deliver: ({ content }) => got.push(content.messageId) }, 10);
  assert.deepEqual(got, ["settled"], "expected what expired unseen not to be delivered");
  clock.advance(0);
  assert.deepEqual(got, ["settled", "renewed", "due"]);
  assert.deepEqual(queue.states, { active: 0, locked: 0, scheduled: 0, deferred: 1, deadLettered: 1 });
  clock.advance(1000);
  assert.equal(clock.pending, 0);
});

test("stops its timer when it is stopped", () => {
  const pair = new Pair({ lockDurationMs: 100, deliveryCountMax: 3, deadLetterOnExpiry: false, duplicateWindowMs: undefined });
  pair.take({ op: "credit", pick: 1, kind: "complete", ms: 0, mode: "peekLock" });
  pair.take({ op: "send", pick: 7, kind: "complete", ms: 0, mode: "peekLock" });
  assert.equal(pair.clock.pending, 1);
  pair.queue.stop();
  assert.equal(pair.clock.pending, 0);
});
