// The sessions of a queue that requires them. A session is all messages with one session id; whoever holds its lock gets
// them in order, and nobody else gets any.
//
//   idle ──message──▶ available ──accepted, by id or as the next one──▶ locked ──lock expires, link closes──▶ available or idle
//
// The lock is the session's, not the messages': they are locked as long as it is. When it expires, each message that was
// handed out counts one more try; when its holder lets go, none does. A session that holds nothing and has no state is
// forgotten.
import type { Clock } from "./clock.ts";
import type { Consumer } from "./consumers.ts";
import { DeadlineHeap, type HeapFields } from "./deadline-heap.ts";
import type { StoredMessage } from "./message.ts";
import { SequenceIndex } from "./sequence-index.ts";
import type { Shelf } from "./shelf.ts";

/** Who holds a session's lock. */
export interface SessionConsumer extends Consumer {
  /** The lock has expired. */
  onSessionLost(): void;
}

/** A session's lock as its holder sees it. */
export interface SessionLock {
  readonly sessionId: string;
  readonly lockedUntilMs: number;
}

/** What sessions ask of their queue. */
export interface SessionHost {
  readonly clock: Clock;
  readonly lockDurationMs: () => number;
  /** Ends a message's lock. */
  readonly giveBack: (message: StoredMessage, how: "expired" | "released") => void;
  readonly expire: (message: StoredMessage) => void;
  readonly wakeAt: (atMs: number) => void;
  readonly dispatch: () => void;
  /** The state of a session has changed. */
  readonly onState: (sessionId: string, state: Buffer | undefined) => void;
}

class Session implements SessionLock {
  readonly sessionId: string;
  readonly ready = new SequenceIndex<StoredMessage>();
  readonly locked = new Set<StoredMessage>();
  isLocked = false;
  holder: SessionConsumer | undefined;
  credit = 0;
  lockedUntilMs = 0;
  lockPlace = -1;
  state: Buffer | undefined;
  stateChangedAtMs = 0;

  constructor(sessionId: string) {
    this.sessionId = sessionId;
  }
}

const bySessionLock: HeapFields<Session> = {
  deadline: (session) => session.lockedUntilMs,
  rank: () => 0,
  place: (session) => session.lockPlace,
  setPlace: (session, place) => {
    session.lockPlace = place;
  },
};

/** Somebody who waits for the next session. */
interface Waiter {
  readonly onEnd: (end: SessionLock | NoSession) => void;
}

/** Why whoever waits for a session gets none: none came in time, or the entity gives none any more, for it was deleted or disabled. */
export type NoSession = "none-in-time" | "deleted" | "disabled";

export class Sessions implements Shelf {
  readonly #host: SessionHost;
  readonly #sessions = new Map<string, Session>();
  /** Not locked, with messages; the one that has been so for longest first. */
  readonly #available = new Set<Session>();
  /** Locked, with messages and credit. */
  readonly #deliverable = new Set<Session>();
  readonly #byConsumer = new Map<Consumer, Session>();
  readonly #waiters = new Set<Waiter>();
  readonly #lockExpiries = new DeadlineHeap<Session>(bySessionLock);
  #size = 0;

  constructor(host: SessionHost) {
    this.#host = host;
  }

  // --- as a shelf ---

  get size(): number {
    return this.#size;
  }

  get consumerCount(): number {
    return this.#byConsumer.size + this.#waiters.size;
  }

  put(message: StoredMessage): void {
    const session = this.#sessionOf(message.content.sessionId ?? "");
    const before = session.ready.size;
    session.ready.set(message.sequenceNumber, message);
    this.#size += session.ready.size - before;
    this.#sort(session);
  }

  take(message: StoredMessage): void {
    const session = this.#sessions.get(message.content.sessionId ?? "");
    if (session === undefined || !session.ready.delete(message.sequenceNumber)) return;
    this.#size--;
    this.#sort(session);
  }

  first(): StoredMessage | undefined {
    for (const { ready } of this.#sessions.values()) {
      const message = ready.first();
      if (message !== undefined) return message;
    }
    return undefined;
  }

  setCredit(consumer: Consumer, credit: number): void {
    const session = this.#byConsumer.get(consumer);
    if (session === undefined) return;
    session.credit = credit;
    this.#sort(session);
  }

  /** The holder lets go: what it holds is back at its place, as if it had not been delivered. */
  removeConsumer(consumer: Consumer): void {
    const session = this.#byConsumer.get(consumer);
    if (session !== undefined) this.#release(session);
  }

  candidate(): StoredMessage | undefined {
    for (const session of this.#deliverable) return session.ready.first();
    return undefined;
  }

  consumerFor(message: StoredMessage): Consumer | undefined {
    const session = this.#sessions.get(message.content.sessionId ?? "");
    if (session?.holder === undefined || session.credit <= 0) return undefined;
    session.credit--;
    if (session.credit === 0) this.#sort(session);
    return session.holder;
  }

  // --- locks ---

  /** Locks a session by its id; undefined when it is locked already. */
  lock(sessionId: string): SessionLock | undefined {
    this.expireLocks(this.#host.clock.now());
    const session = this.#sessionOf(sessionId);
    return session.isLocked ? undefined : this.#lock(session);
  }

  /** Locks a session that has messages; undefined when there is none. */
  lockNext(): SessionLock | undefined {
    const nowMs = this.#host.clock.now();
    this.expireLocks(nowMs);
    for (const session of this.#available) {
      for (let message = session.ready.first(); message !== undefined && message.expiresAtMs <= nowMs; message = session.ready.first())
        this.#host.expire(message);
      if (session.ready.size > 0) return this.#lock(session);
    }
    return undefined;
  }

  /**
   * Waits for the next session with messages.
   *
   * @param onEnd called once, with a lock or with why there is none
   * @returns what stops waiting
   */
  waitForNext(timeoutMs: number, onEnd: (end: SessionLock | NoSession) => void): () => void {
    const waiter: Waiter = {
      onEnd: (end) => {
        cancelTimer();
        onEnd(end);
      },
    };
    const cancelTimer = this.#host.clock.after(timeoutMs, () => {
      this.#waiters.delete(waiter);
      onEnd("none-in-time");
    });
    this.#waiters.add(waiter);
    return () => {
      cancelTimer();
      this.#waiters.delete(waiter);
    };
  }

  /** Makes a consumer the holder of a lock that was just given; from now on it can have credit. */
  open({ sessionId }: SessionLock, consumer: SessionConsumer): void {
    const session = this.#sessionOf(sessionId);
    session.holder = consumer;
    this.#byConsumer.set(consumer, session);
  }

  /** Renews a session's lock; returns until when, or undefined when nobody holds it. */
  renew(sessionId: string): number | undefined {
    const session = this.#held(sessionId);
    if (session === undefined) return undefined;
    session.lockedUntilMs = this.#host.clock.now() + this.#host.lockDurationMs();
    for (const message of session.locked) message.lockedUntilMs = session.lockedUntilMs;
    this.#lockExpiries.update(session);
    return session.lockedUntilMs;
  }

  /** Until when a session is locked; undefined when it is not. */
  lockedUntil(sessionId: string | undefined): number | undefined {
    return sessionId === undefined ? undefined : this.#held(sessionId)?.lockedUntilMs;
  }

  /** Lets waiting clients have sessions that became available. */
  grant(): void {
    for (const waiter of this.#waiters) {
      const lock = this.lockNext();
      if (lock === undefined) return;
      this.#waiters.delete(waiter);
      waiter.onEnd(lock);
    }
  }

  /** Nobody who waits will get one. */
  endWaiting(why: NoSession): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.onEnd(why);
  }

  /** A message has been handed out under its session's lock. */
  onLocked(message: StoredMessage): void {
    const session = this.#sessionOf(message.content.sessionId ?? "");
    session.locked.add(message);
    message.lockedUntilMs = session.lockedUntilMs;
  }

  onUnlocked(message: StoredMessage): void {
    this.#sessions.get(message.content.sessionId ?? "")?.locked.delete(message);
  }

  get earliestExpiry(): number {
    return this.#lockExpiries.earliest;
  }

  expireLocks(nowMs: number): void {
    for (let session = this.#lockExpiries.peek(); session !== undefined && session.lockedUntilMs <= nowMs; session = this.#lockExpiries.peek())
      this.#expire(session);
  }

  /** Ends the locks of the sessions that hold a message which `wanted` picks, as if their time were over. Returns how many. */
  expireNow(wanted: (message: StoredMessage) => boolean): number {
    const picked = [...this.#sessions.values()].filter((session) => session.isLocked && [...session.locked].some(wanted));
    for (const session of picked) this.#expire(session);
    this.#host.dispatch();
    return picked.length;
  }

  // --- state ---

  getState(sessionId: string): Buffer | undefined {
    return this.#sessions.get(sessionId)?.state;
  }

  setState(sessionId: string, state: Buffer | undefined): void {
    const session = this.#sessionOf(sessionId);
    session.state = state;
    session.stateChangedAtMs = this.#host.clock.now();
    this.#host.onState(sessionId, state);
    this.#forgetIfIdle(session);
  }

  /** Takes back a state that was kept over a restart. */
  restoreState(sessionId: string, state: Buffer): void {
    this.#sessionOf(sessionId).state = state;
  }

  /** Ids of sessions that have messages; or, with a time, of those whose state was set since. */
  ids(stateChangedSinceMs: number | undefined): string[] {
    const wanted = (session: Session): boolean =>
      stateChangedSinceMs === undefined
        ? session.ready.size + session.locked.size > 0
        : session.state !== undefined && session.stateChangedAtMs > stateChangedSinceMs;
    return [...this.#sessions.values()]
      .filter(wanted)
      .map(({ sessionId }) => sessionId)
      .sort();
  }

  /** Every session with who holds it, for people and for keeping. */
  *all(): Generator<{ readonly sessionId: string; readonly holder: string | undefined; readonly lockedUntilMs: number; readonly state: Buffer | undefined }> {
    for (const { sessionId, holder, isLocked, lockedUntilMs, state } of this.#sessions.values()) {
      yield { sessionId, holder: isLocked ? (holder?.name ?? "") : undefined, lockedUntilMs, state };
    }
  }

  // --- inside ---

  #sessionOf(sessionId: string): Session {
    let session = this.#sessions.get(sessionId);
    if (session === undefined) {
      session = new Session(sessionId);
      this.#sessions.set(sessionId, session);
    }
    return session;
  }

  #held(sessionId: string): Session | undefined {
    this.expireLocks(this.#host.clock.now());
    const session = this.#sessions.get(sessionId);
    return session?.isLocked === true ? session : undefined;
  }

  #lock(session: Session): SessionLock {
    session.isLocked = true;
    session.lockedUntilMs = this.#host.clock.now() + this.#host.lockDurationMs();
    this.#lockExpiries.add(session);
    this.#host.wakeAt(session.lockedUntilMs);
    this.#sort(session);
    return session;
  }

  #expire(session: Session): void {
    const { holder } = session;
    this.#unlock(session, "expired");
    // Whoever had it knows before the next one gets it.
    holder?.onSessionLost();
    this.#host.dispatch();
  }

  #release(session: Session): void {
    this.#unlock(session, "released");
    this.#host.dispatch();
  }

  #unlock(session: Session, how: "expired" | "released"): void {
    this.#lockExpiries.remove(session);
    if (session.holder !== undefined) this.#byConsumer.delete(session.holder);
    session.isLocked = false;
    session.holder = undefined;
    session.credit = 0;
    for (const message of session.locked) this.#host.giveBack(message, how);
    this.#sort(session);
  }

  /** Puts a session where it belongs after anything about it has changed. */
  #sort(session: Session): void {
    const hasMessages = session.ready.size > 0;
    if (hasMessages && !session.isLocked) this.#available.add(session);
    else this.#available.delete(session);
    if (hasMessages && session.holder !== undefined && session.credit > 0) this.#deliverable.add(session);
    else this.#deliverable.delete(session);
    this.#forgetIfIdle(session);
  }

  #forgetIfIdle(session: Session): void {
    if (!session.isLocked && session.ready.size === 0 && session.locked.size === 0 && session.state === undefined) this.#sessions.delete(session.sessionId);
  }
}
