/**
 * A worker with one source, on a clock of its own: messages are fetched on credit, claimed, wait for one of the servers, are served and
 * settled. For judging an intake window by what becomes of it, without a broker, threads or time.
 */
import { ByteBudget } from "#runtime/policy/byte-budget.ts";
import { IntakeWindow, type IntakeBounds } from "#runtime/policy/intake-window.ts";
import { MainLoopHeadroom } from "#runtime/policy/main-loop-headroom.ts";

export interface Shape {
  /** Runs that are served at once. */
  readonly servers: number;
  readonly serviceMs: number;
  /** Each run waits so often, without its server, until a step is recorded, each time for so long and for its turn of the loop. */
  readonly records?: { readonly count: number; readonly tripMs: number } | undefined;
  readonly receiveMs: number;
  readonly claimMs: number;
  readonly settleMs: number;
  /** Of the one event loop that every message passes before it is claimed. */
  readonly loopMs?: number;
  /** Messages that arrive at the queue each second; undefined for a backlog without end. */
  readonly perSecond?: number | undefined;
  /** Of each message; of no account where there is no budget. */
  readonly bytes?: number;
}

interface Message {
  readonly bytes: number;
  readonly cameMs: number;
  decidedMs: number;
  begunMs: number;
}

const noRecords = { count: 0, tripMs: 0 };

interface Event {
  readonly atMs: number;
  readonly order: number;
  act(): void;
}

/** What happened within one stretch of time. */
export interface Stretch {
  readonly completed: number;
  readonly perSecond: number;
  readonly heldMax: number;
  readonly heldBytesMax: number;
  readonly waitMeanMs: number;
  readonly waitMaxMs: number;
}

export class IntakeSimulation {
  readonly window: IntakeWindow;
  shape: Shape;
  nowMs = 0;
  readonly #events: Event[] = [];
  #order = 0;
  #credit = 0;
  #queued = 0;
  readonly #waiting: Message[] = [];
  #serving = 0;
  #loopFreeMs = 0;
  /** What the loop has been given to do. */
  #loopWorkMs = 0;
  readonly #loop: MainLoopHeadroom;
  #completed = 0;
  #heldMax = 0;
  #heldBytesMax = 0;
  readonly #budget: ByteBudget;
  #waits: number[] = [];

  constructor(bounds: IntakeBounds, shape: Shape, budgetBytes = Number.POSITIVE_INFINITY) {
    this.#budget = new ByteBudget(budgetBytes);
    this.window = new IntakeWindow(bounds);
    this.shape = shape;
    const use = { busyMs: 0, atMs: 0 };
    this.#loop = new MainLoopHeadroom(() => {
      const busyMs = this.#loopWorkMs - Math.max(0, this.#loopFreeMs - this.nowMs);
      const share = (busyMs - use.busyMs) / (this.nowMs - use.atMs || 1);
      Object.assign(use, { busyMs, atMs: this.nowMs });
      return share;
    });
    this.#tick();
    this.#produce();
  }

  run(forMs: number): Stretch {
    const untilMs = this.nowMs + forMs;
    this.#completed = 0;
    this.#heldMax = this.window.held;
    this.#heldBytesMax = this.#budget.heldBytes;
    this.#waits = [];
    for (let next = this.#events[0]; next !== undefined && next.atMs <= untilMs; next = this.#events[0]) {
      this.#pop();
      this.nowMs = next.atMs;
      next.act();
    }
    this.nowMs = untilMs;
    const sum = this.#waits.reduce((total, waitMs) => total + waitMs, 0);
    return {
      completed: this.#completed,
      perSecond: (this.#completed * 1_000) / forMs,
      heldMax: this.#heldMax,
      heldBytesMax: this.#heldBytesMax,
      waitMeanMs: this.#waits.length === 0 ? 0 : sum / this.#waits.length,
      waitMaxMs: this.#waits.reduce((most, waitMs) => Math.max(most, waitMs), 0),
    };
  }

  /** Where nothing else happens, room is asked for now and then. */
  #tick(): void {
    this.#fetch();
    this.#after(100, () => this.#tick());
  }

  #produce(): void {
    const { perSecond } = this.shape;
    if (perSecond !== undefined && perSecond > 0) {
      this.#queued += 1;
      this.#fetch();
    }
    this.#after(perSecond === undefined || perSecond === 0 ? 100 : 1_000 / perSecond, () => this.#produce());
  }

  #fetch(): void {
    const isDry = (): boolean => this.#waiting.length === 0;
    this.window.isDriven = this.#loop.isFree(this.nowMs);
    const room = Math.min(this.window.room(this.nowMs, isDry), this.#budget.room()) - this.#credit;
    if (room > 0) this.#credit += room;
    const { perSecond, receiveMs } = this.shape;
    const count = perSecond === undefined ? room : Math.min(this.#credit, this.#queued);
    if (perSecond !== undefined) this.#queued -= count;
    if (count <= 0) return;
    if (perSecond !== undefined) this.#credit -= count;
    this.#after(receiveMs, () => {
      if (perSecond === undefined) this.#credit -= count;
      for (let index = 0; index < count; index += 1) this.#arrive();
    });
  }

  #arrive(): void {
    const message: Message = { bytes: this.shape.bytes ?? 0, cameMs: this.nowMs, decidedMs: 0, begunMs: 0 };
    this.window.took(this.nowMs);
    this.#budget.took(message.bytes);
    this.#heldMax = Math.max(this.#heldMax, this.window.held);
    this.#heldBytesMax = Math.max(this.#heldBytesMax, this.#budget.heldBytes);
    this.#after(this.#pass() + this.shape.claimMs, () => {
      message.decidedMs = this.nowMs;
      this.window.tripped(this.nowMs - message.cameMs, undefined);
      this.#waiting.push(message);
      this.#serve();
    });
  }

  /** When something that passes the loop now is through it. */
  #pass(): number {
    const { loopMs = 0 } = this.shape;
    this.#loopWorkMs += loopMs;
    this.#loopFreeMs = Math.max(this.#loopFreeMs, this.nowMs) + loopMs;
    return this.#loopFreeMs - this.nowMs;
  }

  #serve(): void {
    while (this.#serving < this.shape.servers) {
      const message = this.#waiting.shift();
      if (message === undefined) return;
      this.#serving += 1;
      message.begunMs = this.nowMs;
      this.#waits.push(this.nowMs - message.decidedMs);
      const { serviceMs, records } = this.shape;
      this.#after(serviceMs, () => {
        this.#serving -= 1;
        this.#record(message, records?.count ?? 0);
        this.#serve();
      });
    }
  }

  #record(message: Message, left: number): void {
    const { serviceMs, records = noRecords } = this.shape;
    if (left === 0) return this.#end(message, this.nowMs - message.begunMs, Math.max(0, this.nowMs - message.begunMs - serviceMs), records.count);
    this.#after(this.#pass() + records.tripMs, () => this.#record(message, left - 1));
  }

  #end(message: Message, tookMs: number, recordingMs: number, records: number): void {
    this.window.ran(message.cameMs, message.begunMs - message.decidedMs, tookMs, recordingMs, records);
    this.#after(this.shape.settleMs, () => {
      this.window.tripped(undefined, this.shape.settleMs);
      this.window.gave(this.nowMs);
      this.#budget.gave(message.bytes);
      this.#completed += 1;
      this.#fetch();
    });
  }

  #after(ms: number, act: () => void): void {
    this.#order += 1;
    const event = { atMs: this.nowMs + ms, order: this.#order, act };
    let at = this.#events.length;
    this.#events.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#events[parent];
      if (above === undefined || !isBefore(event, above)) break;
      this.#events[at] = above;
      at = parent;
    }
    this.#events[at] = event;
  }

  #pop(): void {
    const last = this.#events.pop();
    const { length } = this.#events;
    if (last === undefined || length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const right = this.#events[child + 1];
      const left = this.#events[child];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) child += 1;
      const lower = this.#events[child];
      if (lower === undefined || !isBefore(lower, last)) break;
      this.#events[at] = lower;
      at = child;
    }
    this.#events[at] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
