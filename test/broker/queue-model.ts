// A queue as simply as it can be said: a list of messages that every step walks. The real one must agree with it.
import { strict as assert } from "node:assert";

type ModelState = "ready" | "locked" | "scheduled" | "deferred" | "completed" | "deleted" | "dead" | "expired" | "cancelled";

export interface ModelMessage {
  readonly id: string;
  sequence: number;
  state: ModelState;
  /** Under a lock: what it goes back to. */
  deferred: boolean;
  deliveryCount: number;
  lockId: number;
  lockedUntilMs: number;
  expiresAtMs: number;
  dueAtMs: number;
  readonly timeToLiveMs: number;
}

export interface ModelSettings {
  readonly lockDurationMs: number;
  readonly deliveryCountMax: number;
  readonly deadLetterOnExpiry: boolean;
}

const gone: readonly ModelState[] = ["completed", "deleted", "dead", "expired", "cancelled"];

export class QueueModel {
  readonly messages: ModelMessage[] = [];
  readonly #settings: ModelSettings;
  #lastSequence = 0;

  constructor(settings: ModelSettings) {
    this.#settings = settings;
  }

  count(state: ModelState): number {
    return this.messages.filter((message) => message.state === state).length;
  }

  /** Held under a lock, as far as a client knows that got this lock. */
  underLock(lockId: number): ModelMessage | undefined {
    return this.messages.find((message) => message.state === "locked" && message.lockId === lockId);
  }

  held(): ModelMessage[] {
    return this.messages.filter((message) => !gone.includes(message.state)).sort((a, b) => a.sequence - b.sequence);
  }

  send(id: string, nowMs: number, timeToLiveMs: number, dueAtMs: number | undefined): number {
    const message: ModelMessage = {
      id,
      sequence: ++this.#lastSequence,
      state: "ready",
      deferred: false,
      deliveryCount: 0,
      lockId: 0,
      lockedUntilMs: 0,
      expiresAtMs: nowMs + timeToLiveMs,
      dueAtMs: Infinity,
      timeToLiveMs,
    };
    if (dueAtMs !== undefined && dueAtMs > nowMs) Object.assign(message, { state: "scheduled", dueAtMs, expiresAtMs: Infinity });
    this.messages.push(message);
    return message.sequence;
  }

  cancel(sequence: number): boolean {
    const message = this.messages.find((candidate) => candidate.sequence === sequence && candidate.state === "scheduled");
    if (message === undefined) return false;
    message.state = "cancelled";
    return true;
  }

  /** A delivery that the real queue made: it must be the lowest one that is ready. */
  delivered(id: string, sequence: number, lockId: number, deliveryCount: number, nowMs: number): void {
    this.tick(nowMs);
    const ready = this.messages.filter(({ state }) => state === "ready").sort((a, b) => a.sequence - b.sequence);
    const [first] = ready;
    assert.ok(first, `expected no delivery, found ${id}`);
    assert.deepEqual([id, sequence, deliveryCount], [first.id, first.sequence, first.deliveryCount]);
    this.#lock(first, lockId, nowMs);
  }

  receiveDeferred(sequence: number, lockId: number, nowMs: number): void {
    const message = this.deferredAt(sequence);
    assert.ok(message, `expected no deferred message under ${sequence}`);
    this.#lock(message, lockId, nowMs);
  }

  deferredAt(sequence: number): ModelMessage | undefined {
    return this.messages.find((message) => message.state === "deferred" && message.sequence === sequence);
  }

  settle(lockId: number, kind: string, nowMs: number): "settled" | "lockLost" {
    const message = this.underLock(lockId);
    if (message === undefined) return "lockLost";
    if (kind === "complete") message.state = "completed";
    else if (kind === "deadLetter") message.state = "dead";
    else {
      if (kind !== "release") message.deliveryCount++;
      if (kind === "defer") message.deferred = true;
      this.#giveBack(message, nowMs);
    }
    return "settled";
  }

  renew(lockId: number, nowMs: number): number | undefined {
    const message = this.underLock(lockId);
    if (message !== undefined) message.lockedUntilMs = nowMs + this.#settings.lockDurationMs;
    return message?.lockedUntilMs;
  }

  /** Lets time pass: whatever is due happens, the earliest first. */
  tick(nowMs: number): void {
    for (;;) {
      let next: { atMs: number; rank: number; message: ModelMessage } | undefined;
      for (const message of this.messages) {
        const due = dueOf(message);
        if (due === undefined || due.atMs > nowMs) continue;
        if (next === undefined || due.atMs < next.atMs || (due.atMs === next.atMs && (due.rank < next.rank || (due.rank === next.rank && message.sequence < next.message.sequence)))) {
          next = { ...due, message };
        }
      }
      if (next === undefined) return;
      this.#happen(next.message, next.atMs);
    }
  }

  #happen(message: ModelMessage, atMs: number): void {
    if (message.state === "locked") {
      message.deliveryCount++;
      this.#giveBack(message, atMs);
    } else if (message.state === "scheduled") {
      message.state = "ready";
      message.sequence = ++this.#lastSequence;
      message.dueAtMs = Infinity;
      message.expiresAtMs = atMs + message.timeToLiveMs;
    } else message.state = this.#settings.deadLetterOnExpiry ? "dead" : "expired";
  }

  #lock(message: ModelMessage, lockId: number, nowMs: number): void {
    if (lockId === 0) message.state = "deleted";
    else Object.assign(message, { state: "locked", lockId, lockedUntilMs: nowMs + this.#settings.lockDurationMs });
  }

  #giveBack(message: ModelMessage, nowMs: number): void {
    if (message.expiresAtMs <= nowMs) message.state = this.#settings.deadLetterOnExpiry ? "dead" : "expired";
    else if (message.deferred) message.state = "deferred";
    else message.state = message.deliveryCount >= this.#settings.deliveryCountMax ? "dead" : "ready";
  }
}

/** When something will happen to a message by itself. At one time, locks end first, then schedules, then lives. */
function dueOf(message: ModelMessage): { atMs: number; rank: number } | undefined {
  if (message.state === "locked") return { atMs: message.lockedUntilMs, rank: 0 };
  if (message.state === "scheduled") return { atMs: message.dueAtMs, rank: 1 };
  if (message.state === "ready" || message.state === "deferred") return { atMs: message.expiresAtMs, rank: 2 };
  return undefined;
}
