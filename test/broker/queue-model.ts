// A queue as simply as it can be said: a list of messages that every step walks. The real one must agree with it.
import { strict as assert } from "node:assert";

type ModelState = "ready" | "locked" | "scheduled" | "deferred" | "completed" | "deleted" | "dead" | "taken" | "expired" | "cancelled";

/** `dead` lies in the dead-letter sub-queue, `taken` was taken out of there. */
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
  /** Undefined: repeats of an id are taken like any other message. */
  readonly duplicateWindowMs: number | undefined;
}

const gone: readonly ModelState[] = ["completed", "deleted", "dead", "taken", "expired", "cancelled"];

export class QueueModel {
  readonly messages: ModelMessage[] = [];
  /** What happened so far, each time it did. */
  readonly happened = { delivered: 0, abandoned: 0, released: 0, deferred: 0, expiredLocks: 0, renewedLocks: 0, lockLost: 0 };
  readonly #settings: ModelSettings;
  readonly #seenAtMs = new Map<string, number>();
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

  /** What lies in the dead-letter sub-queue. */
  letters(): ModelMessage[] {
    return this.messages.filter(({ state }) => state === "dead").sort((a, b) => a.sequence - b.sequence);
  }

  /** Whether a message with this id is dropped as a repeat; notes the id if it is not. */
  isRepeat(id: string, nowMs: number): boolean {
    const { duplicateWindowMs } = this.#settings;
    const seenAtMs = this.#seenAtMs.get(id);
    if (duplicateWindowMs === undefined) return false;
    if (seenAtMs !== undefined && nowMs < seenAtMs + duplicateWindowMs) return true;
    this.#seenAtMs.set(id, nowMs);
    return false;
  }

  /** A number that a repeat has used up: a scheduled one is given a number before it is looked at. */
  skipSequence(): number {
    return ++this.#lastSequence;
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
    if (message === undefined) {
      this.happened.lockLost++;
      return "lockLost";
    }
    if (kind === "abandon") this.happened.abandoned++;
    else if (kind === "release") this.happened.released++;
    else if (kind === "defer") this.happened.deferred++;
    if (kind === "complete") message.state = "completed";
    else if (kind === "deadLetter") message.state = "dead";
    else {
      if (kind !== "release") message.deliveryCount++;
      if (kind === "defer") message.deferred = true;
      this.#giveBack(message, nowMs);
    }
    return "settled";
  }

  /** Ends every lock, as if its time were over. Returns how many. */
  expireLocks(nowMs: number): number {
    const locked = this.messages.filter(({ state }) => state === "locked");
    for (const message of locked) this.#happen(message, nowMs);
    return locked.length;
  }

  deleteBatch(countMax: number): number {
    const picked = this.messages
      .filter(({ state }) => state === "ready")
      .sort((a, b) => a.sequence - b.sequence)
      .slice(0, countMax);
    for (const message of picked) message.state = "deleted";
    return picked.length;
  }

  renew(lockId: number, nowMs: number): number | undefined {
    const message = this.underLock(lockId);
    this.happened[message === undefined ? "lockLost" : "renewedLocks"]++;
    if (message !== undefined) message.lockedUntilMs = nowMs + this.#settings.lockDurationMs;
    return message?.lockedUntilMs;
  }

  /** Lets time pass: whatever is due happens, the earliest first. */
  tick(nowMs: number): void {
    for (let next = this.#due(nowMs, earliestFirst); next !== undefined; next = this.#due(nowMs, earliestFirst)) this.#happen(next.message, next.atMs);
  }

  /** Time has passed unseen: whatever was due happens now, locks first, then schedules, then lives. */
  tickLate(nowMs: number): void {
    for (let next = this.#due(nowMs, locksFirst); next !== undefined; next = this.#due(nowMs, locksFirst)) this.#happen(next.message, nowMs);
  }

  #due(nowMs: number, order: (a: Due, b: Due) => number): Due | undefined {
    return this.messages
      .flatMap((message) => dueOf(message) ?? [])
      .filter(({ atMs }) => atMs <= nowMs)
      .sort(order)[0];
  }

  #happen(message: ModelMessage, atMs: number): void {
    if (message.state === "locked") {
      this.happened.expiredLocks++;
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
    this.happened.delivered++;
    if (lockId === 0) message.state = "deleted";
    else Object.assign(message, { state: "locked", lockId, lockedUntilMs: nowMs + this.#settings.lockDurationMs });
  }

  #giveBack(message: ModelMessage, nowMs: number): void {
    if (message.expiresAtMs <= nowMs) message.state = this.#settings.deadLetterOnExpiry ? "dead" : "expired";
    else if (message.deferred) message.state = "deferred";
    else message.state = message.deliveryCount >= this.#settings.deliveryCountMax ? "dead" : "ready";
  }
}

interface Due {
  readonly atMs: number;
  readonly rank: number;
  readonly message: ModelMessage;
}

/** When something will happen to a message by itself. At one time, locks end first, then schedules, then lives. */
function dueOf(message: ModelMessage): Due | undefined {
  if (message.state === "locked") return { atMs: message.lockedUntilMs, rank: 0, message };
  if (message.state === "scheduled") return { atMs: message.dueAtMs, rank: 1, message };
  if (message.state === "ready" || message.state === "deferred") return { atMs: message.expiresAtMs, rank: 2, message };
  return undefined;
}

function earliestFirst(a: Due, b: Due): number {
  return a.atMs - b.atMs || a.rank - b.rank || a.message.sequence - b.message.sequence;
}

function locksFirst(a: Due, b: Due): number {
  return a.rank - b.rank || a.atMs - b.atMs || a.message.sequence - b.message.sequence;
}
