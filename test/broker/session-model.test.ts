// Sessions against a simple model: any sequence of sends, schedules, acceptances, settlements, deferrals, renewals, closings,
// faults and passing time, with lives that end. Nothing is lost, nothing is under two live locks, a session's messages come in
// order and to its holder alone, and tries are counted as they should be.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { MessageQueue } from "#load/broker/entities/queue.ts";
import type { SessionConsumer, SessionLock } from "#load/broker/entities/sessions.ts";
import type { Settlement } from "#load/broker/entities/settlement.ts";
import type { MessageContent, StoredMessage } from "#load/broker/entities/message.ts";
import { queueDefaults } from "#load/broker/entities/settings.ts";
import { ManualClock } from "../support/manual-clock.ts";

const lockDurationMs = 100;
const ids = ["a", "b", "c"];

interface ModelMessage {
  readonly id: string;
  readonly sessionId: string;
  sequence: number;
  state: "scheduled" | "ready" | "locked" | "deferred" | "completed" | "dead" | "expired";
  tries: number;
  deferred: boolean;
  readonly livesMs: number;
  expiresAtMs: number;
  readonly dueAtMs: number;
}

/** Who holds a session, as the client and the model see it. */
class Holder implements SessionConsumer {
  readonly mode = "peekLock" as const;
  readonly name = "holder";
  readonly sessionId: string;
  readonly held: { readonly message: StoredMessage; readonly lockId: number; readonly model: ModelMessage }[] = [];
  readonly #pair: Pair;
  credit = 0;
  untilMs: number;
  isLost = false;

  constructor(pair: Pair, lock: SessionLock) {
    this.#pair = pair;
    this.sessionId = lock.sessionId;
    this.untilMs = lock.lockedUntilMs;
  }

  deliver(message: StoredMessage, lockId: number): void {
    assert.ok(!this.isLost && this.credit-- > 0, "expected no delivery without a lock or credit");
    this.held.push({ message, lockId, model: this.#pair.delivered(this, message) });
  }

  onSessionLost(): void {
    this.isLost = true;
    assert.ok(this.#pair.clock.now() >= this.untilMs, "expected a lock to be lost only once its time is over");
    this.#pair.ended(this, 1);
  }
}

class Pair {
  readonly clock = new ManualClock(1_000_000);
  readonly queue: MessageQueue;
  readonly triesMax: number;
  readonly messages: ModelMessage[] = [];
  readonly holders = new Map<string, Holder>();
  /** Locks of the past, to settle late with. */
  readonly past: Holder[] = [];
  waiting = 0;
  lastSequence = 0;
  #stopWaiting: (() => void)[] = [];

  constructor(triesMax: number) {
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
    const deadLetters = new MessageQueue({ ...common, path: "q/dead", settings: { ...queueDefaults, deliveryCountMax: Infinity }, deadLetters: undefined });
    this.queue = new MessageQueue({
      ...common,
      path: "q",
      settings: { ...queueDefaults, lockDurationMs, requiresSession: true, deliveryCountMax: triesMax },
      deadLetters,
    });
    this.triesMax = triesMax;
  }

  get sessions(): NonNullable<MessageQueue["sessions"]> {
    assert.ok(this.queue.sessions);
    return this.queue.sessions;
  }

  send(sessionId: string, livesMs: number, delayMs: number): void {
    const nowMs = this.clock.now();
    const id = `m${this.messages.length}`;
    const isScheduled = delayMs > 0;
    this.messages.push({
      id,
      sessionId,
      sequence: ++this.lastSequence,
      state: isScheduled ? "scheduled" : "ready",
      tries: 0,
      deferred: false,
      livesMs,
      expiresAtMs: isScheduled ? Infinity : nowMs + livesMs,
      dueAtMs: nowMs + delayMs,
    });
    const content = contentOf(id, sessionId, livesMs);
    if (isScheduled) this.queue.schedule(content, nowMs + delayMs);
    else this.queue.accept(content);
    this.queue.dispatch();
  }

  /** What is due by itself up to now: schedules, in their order, and lives that end without a lock. */
  tick(): void {
    const nowMs = this.clock.now();
    const due = this.messages
      .filter(({ state, dueAtMs }) => state === "scheduled" && dueAtMs <= nowMs)
      .sort((a, b) => a.dueAtMs - b.dueAtMs || a.sequence - b.sequence);
    for (const message of due) Object.assign(message, { state: "ready", sequence: ++this.lastSequence, expiresAtMs: message.dueAtMs + message.livesMs });
    for (const message of this.messages)
      if ((message.state === "ready" || message.state === "deferred") && message.expiresAtMs <= nowMs) message.state = "expired";
    this.messages.sort((a, b) => a.sequence - b.sequence);
  }

  receiveDeferred(sessionId: string, pick: number): void {
    this.tick();
    const candidates = this.messages.filter(({ state }) => state === "deferred");
    const wanted = candidates[pick % Math.max(1, candidates.length)];
    const holder = this.holders.get(sessionId);
    if (wanted === undefined || holder === undefined) return;
    const found = this.queue.receiveDeferred([wanted.sequence], "peekLock", "management", sessionId);
    assert.equal(found !== undefined, wanted.sessionId === sessionId, "expected a session's own deferred messages alone");
    for (const message of found ?? []) {
      assert.equal(message.lockedUntilMs, holder.untilMs, "expected the lock to be the session's");
      wanted.state = "locked";
      holder.held.push({ message, lockId: message.lockId, model: wanted });
    }
  }

  /** Ends the locks of a session that holds something, as a fault does. */
  expireNow(sessionId: string): void {
    const holder = this.holders.get(sessionId);
    const isHolding = holder?.held.some(({ model }) => model.state === "locked") === true;
    if (holder !== undefined) holder.untilMs = this.clock.now();
    assert.equal(
      this.queue.expireLocksNow(({ content }) => content.sessionId === sessionId),
      isHolding ? 1 : 0,
    );
    if (holder !== undefined && !isHolding) holder.untilMs = this.sessions.lockedUntil(sessionId) ?? 0;
  }

  accept(sessionId: string): void {
    this.tick();
    const isFree = !this.holders.has(sessionId);
    const lock = this.sessions.lock(sessionId);
    assert.equal(lock !== undefined, isFree, `expected the session ${sessionId} to be ${isFree ? "free" : "locked"}`);
    if (lock !== undefined) this.open(lock);
  }

  acceptNext(): void {
    this.tick();
    const free = ids.filter((id) => !this.holders.has(id) && this.messages.some(({ sessionId, state }) => sessionId === id && state === "ready"));
    const lock = this.sessions.lockNext();
    assert.equal(lock !== undefined, free.length > 0);
    if (lock === undefined) return;
    assert.ok(free.includes(lock.sessionId));
    this.open(lock);
  }

  wait(ms: number): void {
    if (this.sessions.lockNext() !== undefined) assert.fail("expected to be called when no session is available");
    this.waiting++;
    this.#stopWaiting.push(
      this.sessions.waitForNext(ms, (end) => {
        const lock = typeof end === "string" ? undefined : end;
        this.waiting--;
        if (lock !== undefined) this.open(lock);
      }),
    );
  }

  open(lock: SessionLock): void {
    assert.ok(!this.holders.has(lock.sessionId), "expected one holder at a time");
    const holder = new Holder(this, lock);
    this.holders.set(lock.sessionId, holder);
    this.sessions.open(lock, holder);
  }

  delivered(holder: Holder, { sequenceNumber, deliveryCount, content }: StoredMessage): ModelMessage {
    this.tick();
    const [first] = this.messages.filter(({ sessionId, state }) => sessionId === holder.sessionId && state === "ready");
    assert.ok(first, "expected no delivery from an empty session");
    assert.deepEqual([content.messageId, sequenceNumber, deliveryCount], [first.id, first.sequence, first.tries]);
    first.state = "locked";
    return first;
  }

  /** A lock is over: what was handed out under it is back, with `tries` more. */
  ended(holder: Holder, tries: 0 | 1): void {
    this.holders.delete(holder.sessionId);
    this.past.push(holder);
    for (const { model } of holder.held) {
      if (model.state !== "locked") continue;
      model.tries += tries;
      this.giveBack(model);
    }
  }

  giveBack(model: ModelMessage): void {
    if (model.expiresAtMs <= this.clock.now()) model.state = "expired";
    else if (model.deferred) model.state = "deferred";
    else model.state = model.tries >= this.triesMax ? "dead" : "ready";
  }

  close(holder: Holder): void {
    this.ended(holder, 0);
    this.queue.removeConsumer(holder);
  }

  settle(holder: Holder, pick: number, kind: Settlement["kind"]): void {
    const held = holder.held[pick % Math.max(1, holder.held.length)];
    if (held === undefined) return;
    const { message, lockId, model } = held;
    const isLive = this.holders.get(holder.sessionId) === holder && model.state === "locked" && holder.held.findLast((other) => other.model === model) === held;
    if (isLive) {
      if (kind === "complete") model.state = "completed";
      else if (kind === "deadLetter") model.state = "dead";
      else {
        if (kind !== "release") model.tries++;
        if (kind === "defer") model.deferred = true;
        this.giveBack(model);
      }
    }
    assert.equal(this.queue.settle(message, lockId, settlementOf(kind)), isLive ? "settled" : "lockLost");
  }

  check(): void {
    this.tick();
    const count = (state: ModelMessage["state"]): number => this.messages.filter((message) => message.state === state).length;
    assert.deepEqual(this.queue.states, {
      active: count("ready"),
      locked: count("locked"),
      scheduled: count("scheduled"),
      deferred: count("deferred"),
      deadLettered: count("dead"),
    });
    assert.deepEqual([this.queue.counters.completed, this.queue.counters.expiredDropped], [count("completed"), count("expired")]);
    assert.deepEqual(
      this.queue.peek(0, 1000).map(({ content, sequenceNumber, deliveryCount, lockId }) => [content.messageId, sequenceNumber, deliveryCount, lockId !== 0]),
      this.messages
        .filter(({ state }) => !["completed", "dead", "expired"].includes(state))
        .map(({ id, sequence, tries, state }) => [id, sequence, tries, state === "locked"]),
    );
    const waitingIds = new Set(this.messages.filter(({ state }) => state === "ready" || state === "locked").map(({ sessionId }) => sessionId));
    assert.deepEqual(this.sessions.ids(undefined), [...waitingIds].sort());
    for (const holder of this.holders.values()) {
      const isWaiting = this.messages.some(({ sessionId, state }) => sessionId === holder.sessionId && state === "ready");
      assert.ok(!isWaiting || holder.credit === 0, "expected no message to wait while its holder has credit");
    }
    if (this.waiting > 0) {
      const free = this.messages.filter(({ sessionId, state }) => state === "ready" && !this.holders.has(sessionId));
      assert.deepEqual(free, [], "expected nobody to wait while a session is available");
    }
  }

  stop(): void {
    for (const stop of this.#stopWaiting) stop();
    this.waiting = 0;
    for (const holder of this.holders.values()) this.close(holder);
  }
}

function contentOf(messageId: string, sessionId: string, livesMs: number): MessageContent {
  return {
    bare: Buffer.alloc(0),
    durable: false,
    priority: 4,
    timeToLiveMs: livesMs === Infinity ? undefined : livesMs,
    annotations: undefined,
    annotationCount: 0,
    messageId,
    sessionId,
    partitionKey: undefined,
    scheduledAtMs: undefined,
  };
}

function settlementOf(kind: Settlement["kind"]): Settlement {
  if (kind === "complete" || kind === "release") return { kind };
  if (kind === "deadLetter") return { kind, properties: undefined };
  return { kind, properties: undefined };
}

interface Step {
  readonly op: "send" | "accept" | "acceptNext" | "credit" | "settle" | "settleLate" | "renew" | "close" | "wait" | "advance" | "receiveDeferred" | "expireNow";
  readonly id: string;
  readonly pick: number;
  readonly kind: Settlement["kind"];
  readonly ms: number;
  readonly livesMs: number;
  readonly delayMs: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  op: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom("send" as const, "credit" as const, "settle" as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "accept" as const,
        "acceptNext" as const,
        "settleLate" as const,
        "renew" as const,
        "close" as const,
        "wait" as const,
        "advance" as const,
        "receiveDeferred" as const,
        "expireNow" as const,
      ),
    },
  ),
  id: fc.constantFrom(...ids),
  pick: fc.nat(5),
  kind: fc.constantFrom("complete", "abandon", "release", "defer", "deadLetter"),
  ms: fc.constantFrom(0, 1, 50, 99, 100, 250),
  livesMs: fc.constantFrom(Infinity, Infinity, 30, 120),
  delayMs: fc.constantFrom(0, 0, 0, 20, 130),
});

function take(pair: Pair, { op, id, pick, kind, ms, livesMs, delayMs }: Step): void {
  const holder = pair.holders.get(id);
  switch (op) {
    case "send":
      return pair.send(id, livesMs, delayMs);
    case "accept":
      return pair.accept(id);
    case "acceptNext":
      return pair.waiting > 0 ? undefined : pair.acceptNext();
    case "credit":
      if (holder === undefined) return;
      holder.credit = pick;
      return pair.queue.setCredit(holder, pick);
    case "settle":
      return holder === undefined ? undefined : pair.settle(holder, pick, kind);
    case "settleLate": {
      const old = pair.past[pick % Math.max(1, pair.past.length)];
      return old === undefined ? undefined : pair.settle(old, pick, kind);
    }
    case "renew": {
      const untilMs = pair.sessions.renew(id);
      assert.equal(untilMs !== undefined, holder !== undefined);
      if (holder !== undefined && untilMs !== undefined) holder.untilMs = untilMs;
      return;
    }
    case "receiveDeferred":
      return pair.receiveDeferred(id, pick);
    case "expireNow":
      return pair.expireNow(id);
    case "close":
      return holder === undefined ? undefined : pair.close(holder);
    case "wait": {
      const isAvailable = pair.messages.some(({ sessionId, state }) => state === "ready" && !pair.holders.has(sessionId));
      return isAvailable ? undefined : pair.wait(ms + 1);
    }
    case "advance":
      return pair.clock.advance(ms);
  }
}

test("agrees with a simple model of sessions after any sequence of steps", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { minLength: 1, maxLength: 100, size: "max" }), (triesMax, steps) => {
      const pair = new Pair(triesMax);
      for (const each of steps) {
        take(pair, each);
        pair.check();
      }
      pair.stop();
      pair.clock.advance(200);
      pair.check();
      // Afterwards everything that is left can be got, session by session, and nothing keeps a timer.
      const left = pair.messages.filter(({ state }) => state === "ready").length;
      for (const id of ids) {
        pair.accept(id);
        const holder = pair.holders.get(id);
        assert.ok(holder);
        holder.credit = 1000;
        pair.queue.setCredit(holder, 1000);
      }
      assert.equal(
        [...pair.holders.values()].reduce((sum, { held }) => sum + held.length, 0),
        left,
      );
      pair.stop();
      pair.clock.advance(1000);
      assert.equal(pair.clock.pending, 0);
    }),
    { numRuns: 2000 },
  );
});
