// Trouble on demand: what no real broker gives when it is wanted. A fault has a kind, a target, a rate and a seed, and it
// ends after a number of hits or a time. The parts of the protocol ask here before they act; without faults that costs them
// one look at a flag.
import type { Clock } from "../entities/clock.ts";

/** What can go wrong; `faultKinds` tells what each one does. */
export type FaultKind =
  | "throttle"
  | "detach"
  | "drop"
  | "expireLocks"
  | "delaySettlements"
  | "loseSettlements"
  | "deliverTwice"
  | "holdDeliveries"
  | "failTokens";

export const faultKinds: Readonly<Record<FaultKind, string>> = {
  throttle: "refuse sends, requests and new links: server-busy",
  detach: "detach links: at once, or at deliveries and sends",
  drop: "cut connections: at once, or at deliveries and sends",
  expireLocks: "end locks early: at once, or right after a delivery",
  delaySettlements: "answer settlements late, by --delay",
  loseSettlements: "take settlements and never answer",
  deliverTwice: "confirm a completion, and deliver the message again",
  holdDeliveries: "deliver nothing while it lasts",
  failTokens: "refuse tokens, new ones and renewals",
};

/** Kinds that, without a rate, happen once and to everything at the target. */
const immediate: ReadonlySet<FaultKind> = new Set<FaultKind>(["detach", "drop", "expireLocks"]);

export interface FaultRequest {
  readonly kind: FaultKind;
  /** An entity's path, or its beginning followed by `*`. Default: `*`. */
  readonly target?: string;
  /** Of how many occasions it strikes; 0 to 1. Default: 1. */
  readonly rate?: number;
  /** Which occasions it strikes; the same seed strikes the same. Default: 1. */
  readonly seed?: number;
  /** Hits after which it is over. Default: no end. */
  readonly count?: number;
  /** Milliseconds after which it is over. Default: no end. */
  readonly durationMs?: number;
  /** For `delaySettlements`: by how much. Default: 1000. */
  readonly delayMs?: number;
}

export interface FaultReport {
  readonly id: number;
  readonly kind: FaultKind;
  readonly target: string;
  readonly rate: number;
  readonly seed: number;
  readonly hits: number;
  /** Hits that are left; null = no end. */
  readonly left: number | null;
  /** Milliseconds that are left; null = no end. */
  readonly leftMs: number | null;
  readonly delayMs: number;
}

/** Faults at one time at most. */
export const faultsMax = 100;
const delayDefaultMs = 1000;

/** What happens at once is done by others. Each tells how much it hit. */
export type Immediate = (kind: FaultKind, matches: (path: string) => boolean) => number;

interface Fault {
  readonly id: number;
  readonly kind: FaultKind;
  readonly target: string;
  readonly matches: (path: string) => boolean;
  readonly rate: number;
  readonly seed: number;
  readonly random: () => number;
  readonly delayMs: number;
  readonly endsAtMs: number;
  readonly cancelTimer: (() => void) | undefined;
  hits: number;
  left: number;
}

export class Faults {
  /** False as long as nothing is to go wrong. */
  any = false;
  readonly #clock: Clock;
  readonly #faults = new Map<number, Fault>();
  readonly #holdListeners = new Set<() => void>();
  #lastId = 0;
  #immediate: Immediate = () => 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get clock(): Clock {
    return this.#clock;
  }

  set immediate(act: Immediate) {
    this.#immediate = act;
  }

  get size(): number {
    return this.#faults.size;
  }

  add(request: FaultRequest): FaultReport {
    const { kind, target = "*", rate = 1, seed = 1, count = Infinity, durationMs = Infinity, delayMs = delayDefaultMs } = request;
    const id = ++this.#lastId;
    const matches = matcherOf(target);
    const cancelTimer = durationMs === Infinity ? undefined : this.#clock.after(durationMs, () => this.clear(id));
    const endsAtMs = this.#clock.now() + durationMs;
    const fault: Fault = { id, kind, target, matches, rate, seed, random: randomOf(seed), delayMs, endsAtMs, cancelTimer, hits: 0, left: count };
    if (immediate.has(kind) && request.rate === undefined) {
      fault.hits = this.#immediate(kind, matches);
      fault.left = 0;
      cancelTimer?.();
      return this.#report(fault);
    }
    this.#faults.set(id, fault);
    this.#changed(kind);
    return this.#report(fault);
  }

  list(): FaultReport[] {
    return [...this.#faults.values()].map((fault) => this.#report(fault));
  }

  /** Ends one fault, or all of them. Returns how many. */
  clear(id?: number): number {
    const ended = [...this.#faults.values()].filter((fault) => id === undefined || fault.id === id);
    for (const fault of ended) this.#end(fault);
    return ended.length;
  }

  /** Whether something of this kind is to go wrong at a path now; counts as a hit. Returns the fault's delay. */
  strike(kind: FaultKind, path: string): number | undefined {
    for (const fault of this.#faults.values()) {
      if (fault.kind !== kind || !fault.matches(path) || fault.random() >= fault.rate) continue;
      fault.hits++;
      if (--fault.left <= 0) this.#end(fault);
      return fault.delayMs;
    }
    return undefined;
  }

  /** Whether deliveries from a path are held back. */
  holds(path: string): boolean {
    return this.any && [...this.#faults.values()].some(({ kind, matches }) => kind === "holdDeliveries" && matches(path));
  }

  /** Calls `listener` whenever deliveries may be held back from now on, or not any more. Returns what stops that. */
  onHoldChanged(listener: () => void): () => void {
    this.#holdListeners.add(listener);
    return () => this.#holdListeners.delete(listener);
  }

  #end(fault: Fault): void {
    fault.cancelTimer?.();
    if (this.#faults.delete(fault.id)) this.#changed(fault.kind);
  }

  #changed(kind: FaultKind): void {
    this.any = this.#faults.size > 0;
    if (kind === "holdDeliveries") for (const listener of this.#holdListeners) listener();
  }

  #report({ id, kind, target, rate, seed, hits, left, endsAtMs, delayMs }: Fault): FaultReport {
    const leftMs = endsAtMs === Infinity ? null : Math.max(0, endsAtMs - this.#clock.now());
    return { id, kind, target, rate, seed, hits, left: left === Infinity ? null : left, leftMs, delayMs };
  }
}

/** Whether a path is at a target: one path, or the beginning of some followed by `*`. */
export function matcherOf(target: string): (path: string) => boolean {
  const wanted = target.toLowerCase();
  if (!wanted.endsWith("*")) return (path) => path.toLowerCase() === wanted;
  const start = wanted.slice(0, -1);
  return (path) => path.toLowerCase().startsWith(start);
}

/** A stream of numbers in [0, 1) that is the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}
