/**
 * Admission to execution. A run needs, of every dependency it uses, a circuit that lets it pass and a bulkhead slot; it gets
 * all slots together or none, so that runs can never wait for each other's slots. Without a slot it waits in the lane of a
 * dependency that keeps it waiting, and only there, so that a lane never stands still for another dependency's sake; with
 * that lane full, or a circuit open, it is postponed: messages of a hung dependency are not hoarded here. A bulkhead may also
 * reject what finds it full: the run begins without that slot, and its calls of the dependency fail.
 */
import type { Allowance } from "../core/limits.ts";
import type { CallReport } from "../core/outcome.ts";
import type { PostponeReason } from "../core/settlement.ts";
import type { DependencyPolicy } from "../core/skill.ts";
import { AdaptiveLimit } from "./adaptive-limit.ts";
import { Bulkhead } from "./bulkhead.ts";
import { Circuit, type CircuitState } from "./circuit.ts";
import { LatencyWatch } from "./latency-watch.ts";

/** Anything that can wait in a lane. */
export interface Admissible {
  /** Numbers of the dependencies it uses, each once. */
  readonly uses: readonly number[];
  /** When it began to wait in a lane, monotonic. */
  readonly waitingSinceMs: number;
  /** It may begin without a slot of a dependency that rejects it. */
  readonly mayBeRejected: boolean;
  /** What it waits for, or waited for last, for people; written where it is queued. */
  waitedFor?: string;
}

export interface Postponed {
  readonly kind: "postponed";
  readonly why: PostponeReason;
  readonly dependency: string;
  readonly atLeastMs: number;
  /** A longer pause would waste what will have come free by then; undefined when nothing is known of that. */
  readonly atMostMs?: number | undefined;
}

export type AdmissionAnswer =
  | { readonly kind: "admitted" }
  /** In a lane. */
  | { readonly kind: "waiting" }
  /** For a limit: without a slot of anything, which others could use. */
  | { readonly kind: "limited" }
  | Postponed;

/** What became of runs that waited. */
export interface LaneAnswer<Run> {
  /** They have all their slots now, but for those of dependencies that rejected them. */
  readonly admitted: Run[];
  readonly postponed: { readonly run: Run; readonly answer: Postponed }[];
  /** They wait for a limit now. */
  readonly limited: Run[];
}

/** What became of runs that waited for too long. */
export interface ExpiryAnswer<Run> extends LaneAnswer<Run> {
  /** They are in no lane any more. */
  readonly expired: Run[];
}

const admitted: AdmissionAnswer = { kind: "admitted" };
const waiting: AdmissionAnswer = { kind: "waiting" };
const nobody: readonly number[] = [];
/** What is postponed for a full lane returns when the lane has moved on by this many times its length, as far as can be told. */
const drainsMax = 2;

function laneFull<Run extends Admissible>({ bulkhead, name }: Gate<Run>, nowMs: number): Postponed {
  const drainMs = bulkhead.drainMs(nowMs - (bulkhead.first()?.waitingSinceMs ?? nowMs));
  return { kind: "postponed", why: "lane-full", dependency: name, atLeastMs: 0, ...(drainMs === undefined ? undefined : { atMostMs: drainMs * drainsMax }) };
}

function circuitOpen<Run extends Admissible>({ circuit, name }: Gate<Run>, nowMs: number): Postponed {
  return { kind: "postponed", why: "circuit-open", dependency: name, atLeastMs: circuit.opensInMs(nowMs) };
}

/** What else a run needs before it may begin, beside circuits and slots; see rate-limits.ts. */
export interface Permits<Run> {
  /** Runs that wait for it. */
  readonly waiting: number;
  /** Whether no run that uses these dependencies can get it soon. */
  isShut(uses: readonly number[], nowMs: number): boolean;
  /** Why the run would have to be postponed; undefined when it may try. */
  refuses(run: Run, nowMs: number): Postponed | undefined;
  /** Gives it to the run, lets it wait, or says that it must be postponed. */
  enter(run: Run, nowMs: number): AdmissionAnswer;
  /** Those that waited, and have it now. */
  next(nowMs: number): LaneAnswer<Run>;
  /** The run, which has it, cannot begin now. */
  giveBack(run: Run): void;
  /** The run has ended; without `calls` it is not known what they were. */
  leave(run: Run, calls: readonly CallReport[] | undefined): void;
  allowances(run: Run): readonly Allowance[] | undefined;
  /** Takes every run out that waits. */
  clear(): void;
}

interface Gate<Run> {
  readonly number: number;
  readonly name: string;
  /** Its lane, for people. */
  readonly lane: string;
  readonly bulkhead: Bulkhead<Run>;
  readonly circuit: Circuit<Run>;
  /** Undefined where the bulkhead has its number by itself. */
  readonly adaptive: AdaptiveLimit | undefined;
  readonly latency: LatencyWatch;
  /** As last told. */
  told: CircuitState;
}

/** What anyone may see of a dependency's gate. */
export interface GateView {
  readonly dependency: string;
  readonly inUse: number;
  readonly concurrentMax: number;
  readonly waiting: number;
  readonly queueMax: number;
  readonly circuit: CircuitState;
}

/** `run`: the one whose calls brought the change about; undefined when time did, or a person. */
type CircuitChanged<Run> = (dependency: number, name: string, state: CircuitState, run: Run | undefined) => void;

export class Admission<Run extends Admissible> {
  readonly #gates: readonly Gate<Run>[];
  readonly #circuitChanged: CircuitChanged<Run>;
  /** Of runs that were let in without all their slots. */
  readonly #rejected = new Map<Run, readonly number[]>();
  /** Undefined where nothing is limited. */
  readonly #permits: Permits<Run> | undefined;

  /** `circuitChanged` hears every change of a circuit's state when it is noticed, and before a run enters because of it. */
  constructor(dependencies: readonly DependencyPolicy[], circuitChanged: CircuitChanged<Run>, permits?: Permits<Run>) {
    this.#permits = permits;
    this.#gates = dependencies.map((dependency, number) => ({
      number,
      name: dependency.name,
      lane: `the bulkhead of ${dependency.name}`,
      bulkhead: new Bulkhead<Run>(dependency.bulkhead),
      circuit: new Circuit<Run>(dependency.circuit),
      adaptive: dependency.concurrency && new AdaptiveLimit(dependency.concurrency, dependency.bulkhead.concurrentMax),
      latency: new LatencyWatch(),
      told: "closed",
    }));
    this.#circuitChanged = circuitChanged;
    for (const { adaptive, bulkhead } of this.#gates) if (adaptive !== undefined) bulkhead.widen(adaptive.limit);
  }

  /** Runs in all lanes, and those that wait for a limit. */
  get waiting(): number {
    let sum = this.#permits?.waiting ?? 0;
    for (const gate of this.#gates) sum += gate.bulkhead.waiting;
    return sum;
  }

  /**
   * How many runs that use these dependencies could be admitted or queued now; `Infinity` when they use none, or only such as reject
   * what finds them full. With `within` as `soon`, only those that begin when one before them ends.
   */
  room(uses: readonly number[], nowMs: number, within: "lane" | "soon"): number {
    let room = this.#permits?.isShut(uses, nowMs) === true ? 0 : Number.POSITIVE_INFINITY;
    for (const number of uses) {
      const gate = this.#gate(number);
      const open = within === "soon" ? gate.bulkhead.soonRoom : gate.bulkhead.room;
      room = Math.min(room, this.#isShut(gate, nowMs) ? 0 : open);
    }
    return room;
  }

  /** Whether a run waits in the lane of one of these dependencies. */
  isWaitedFor(uses: readonly number[]): boolean {
    for (const number of uses) if (this.#gate(number).bulkhead.waiting > 0) return true;
    return false;
  }

  /** How many runs that use these dependencies their bulkheads let in at once; `Infinity` when they use none. */
  atOnce(uses: readonly number[]): number {
    let fewest = Number.POSITIVE_INFINITY;
    for (const number of uses) fewest = Math.min(fewest, this.#gate(number).bulkhead.policy.concurrentMax);
    return fewest;
  }

  /** What has no slot, or nothing of a limit, for more runs that use these dependencies; undefined where all have. */
  fullFor(uses: readonly number[], nowMs: number): "bulkhead" | "limit" | undefined {
    if (this.#permits?.isShut(uses, nowMs) === true) return "limit";
    const isFull = (number: number): boolean => {
      const gate = this.#gate(number);
      return this.#isShut(gate, nowMs) || !gate.bulkhead.hasSlot();
    };
    return uses.some(isFull) ? "bulkhead" : undefined;
  }

  /** Why the run would have to be postponed; undefined when it may try to get in. */
  refuses(run: Run, nowMs: number): Postponed | undefined {
    for (const number of run.uses) {
      const gate = this.#gate(number);
      if (this.#isShut(gate, nowMs)) return circuitOpen(gate, nowMs);
      if (gate.bulkhead.room === 0) return laneFull(gate, nowMs);
    }
    return this.#permits?.refuses(run, nowMs);
  }

  /** Takes all slots the run needs that no dependency rejects it for, queues it, or says that it must be postponed. */
  admit(run: Run, nowMs: number): AdmissionAnswer {
    return this.#place(run, this.#blocking(run, undefined, nobody, nowMs), false, nobody, nowMs);
  }

  /** Numbers of the dependencies that it was let in without a slot of. */
  rejectedBy(run: Run): readonly number[] {
    return this.#rejected.get(run) ?? nobody;
  }

  /** What the run, which is admitted, may use of the dependencies that are limited. */
  allowances(run: Run): readonly Allowance[] | undefined {
    return this.#permits?.allowances(run);
  }

  /** Gives a run's slots back and tells the circuits how its calls went. `isKnown`: it could say what they used. */
  leave(run: Run, calls: readonly CallReport[], nowMs: number, isKnown = true): void {
    this.#permits?.leave(run, isKnown ? calls : undefined);
    const rejectedBy = this.rejectedBy(run);
    this.#rejected.delete(run);
    for (const number of run.uses) {
      if (rejectedBy.includes(number)) continue;
      const gate = this.#gate(number);
      const report = calls.find((call) => call.dependency === gate.name);
      if (report !== undefined) this.#hear(gate, report, nowMs);
      gate.bulkhead.give();
      gate.circuit.leave(run, report?.result ?? "unused", nowMs);
      this.#state(gate, nowMs, run);
    }
  }

  #hear({ latency, adaptive, bulkhead }: Gate<Run>, { result, latencyMs }: CallReport, nowMs: number): void {
    if (latencyMs !== undefined) latency.took(latencyMs);
    const isFailed = result === "failed";
    if (adaptive === undefined || (latencyMs === undefined && !isFailed)) return;
    if (adaptive.sample(latencyMs ?? 0, bulkhead.inUse, isFailed, nowMs)) bulkhead.widen(adaptive.limit);
  }

  /** Moves the lanes on: call it when slots have come free, and now and then, since circuits change by time. */
  next(nowMs: number): LaneAnswer<Run> {
    const answer: LaneAnswer<Run> = { admitted: [], postponed: [], limited: [] };
    for (const gate of this.#gates) {
      for (let run = gate.bulkhead.first(); run !== undefined; run = gate.bulkhead.first()) {
        const blocking = this.#blocking(run, gate, nobody, nowMs);
        if (blocking === gate && !this.#isShut(gate, nowMs)) break;
        gate.bulkhead.dequeue();
        keep(answer, run, this.#place(run, blocking, true, nobody, nowMs));
      }
    }
    if (this.#permits !== undefined) this.#nextPermitted(this.#permits, nowMs, answer);
    return answer;
  }

  /** Takes runs out of the lanes that waited longer than the bulkhead allows, or than `waitMaxMs`; oldest first. */
  expire(nowMs: number, waitMaxMs: number): ExpiryAnswer<Run> {
    const answer: ExpiryAnswer<Run> = { admitted: [], postponed: [], limited: [], expired: [] };
    for (const gate of this.#gates) {
      const { bulkhead } = gate;
      const sinceMs = nowMs - Math.min(bulkhead.policy.waitMaxMs, waitMaxMs);
      for (let run = bulkhead.first(); run !== undefined && run.waitingSinceMs <= sinceMs; run = bulkhead.first()) {
        bulkhead.expire();
        const placed = this.#placeWithoutWaiting(run, gate, nowMs);
        if (placed === undefined) answer.expired.push(run);
        else keep(answer, run, placed);
      }
    }
    return answer;
  }

  /** The shortest wait that a bulkhead allows; `Infinity` without one. */
  get waitMinMs(): number {
    let shortestMs = Number.POSITIVE_INFINITY;
    for (const { bulkhead } of this.#gates) shortestMs = Math.min(shortestMs, bulkhead.policy.waitMaxMs);
    return shortestMs;
  }

  /** Takes every run out of the lanes. */
  clear(): void {
    for (const { bulkhead } of this.#gates) while (bulkhead.dequeue() !== undefined);
    this.#permits?.clear();
  }

  view(nowMs: number): GateView[] {
    return this.#gates.map((gate) => ({
      dependency: gate.name,
      inUse: gate.bulkhead.inUse,
      concurrentMax: gate.bulkhead.policy.concurrentMax,
      waiting: gate.bulkhead.waiting,
      queueMax: gate.bulkhead.policy.queueMax,
      circuit: gate.circuit.state(nowMs),
    }));
  }

  get names(): string[] {
    return this.#gates.map(({ name }) => name);
  }

  /** Of the dependency of this name; undefined when there is none. */
  circuit(name: string): Circuit<Run> | undefined {
    return this.#gates.find((gate) => gate.name === name)?.circuit;
  }

  bulkhead(name: string): Bulkhead<Run> | undefined {
    return this.#gates.find((gate) => gate.name === name)?.bulkhead;
  }

  /** Undefined where its bulkhead has its number by itself. */
  adaptive(name: string): AdaptiveLimit | undefined {
    return this.#gates.find((gate) => gate.name === name)?.adaptive;
  }

  /** Of each dependency how long its calls take. */
  latencies(): { readonly dependency: string; readonly latency: LatencyWatch }[] {
    return this.#gates.map(({ name, latency }) => ({ dependency: name, latency }));
  }

  /** Looks at every circuit, so that changes made from outside are heard at once. */
  look(nowMs: number): void {
    for (const gate of this.#gates) this.#state(gate, nowMs);
  }

  /** Those that waited for a limit only begin, others go on to the lane that they wait in next. */
  #nextPermitted(permits: Permits<Run>, nowMs: number, answer: LaneAnswer<Run>): void {
    const { admitted: permitted, postponed } = permits.next(nowMs);
    answer.postponed.push(...postponed);
    for (const run of permitted) {
      const blocking = this.#blocking(run, undefined, nobody, nowMs);
      if (blocking === undefined) {
        this.#enter(run, nobody, nowMs);
        answer.admitted.push(run);
        continue;
      }
      permits.giveBack(run);
      keep(answer, run, this.#place(run, blocking, true, nobody, nowMs));
    }
  }

  /** Nothing else blocks the run: it begins when it has its permit, too. */
  #begin(run: Run, rejectedBy: readonly number[], nowMs: number): AdmissionAnswer {
    const permit = this.#permits?.enter(run, nowMs) ?? admitted;
    if (permit.kind === "admitted") this.#enter(run, rejectedBy, nowMs);
    return permit;
  }

  #enter(run: Run, rejectedBy: readonly number[], nowMs: number): void {
    // Stryker disable next-line ConditionalExpression: an entry of nobody says the same as none, and only takes memory
    if (rejectedBy !== nobody) this.#rejected.set(run, rejectedBy);
    for (const number of run.uses) {
      const gate = this.#gate(number);
      if (rejectedBy.includes(number)) {
        gate.bulkhead.reject();
        continue;
      }
      gate.bulkhead.take();
      gate.circuit.enter(run, nowMs);
    }
  }

  /** Lets the run in when nothing blocks it any more; queues it where it is blocked, or says why it cannot be. */
  #place(run: Run, blocking: Gate<Run> | undefined, hasWaited: boolean, rejectedBy: readonly number[], nowMs: number): AdmissionAnswer {
    if (blocking === undefined) return this.#begin(run, rejectedBy, nowMs);
    if (this.#isShut(blocking, nowMs)) return circuitOpen(blocking, nowMs);
    if (blocking.bulkhead.hasLaneSpace()) {
      run.waitedFor = blocking.lane;
      blocking.bulkhead.enqueue(run, hasWaited);
      return waiting;
    }
    if (!rejects(blocking, run)) return laneFull(blocking, nowMs);
    const rejectedByAll = [...rejectedBy, blocking.number];
    return this.#place(run, this.#blocking(run, undefined, rejectedByAll, nowMs), hasWaited, rejectedByAll, nowMs);
  }

  /** The same for a run that has waited long enough; undefined when it would have to wait on. */
  #placeWithoutWaiting(run: Run, first: Gate<Run>, nowMs: number): AdmissionAnswer | undefined {
    let rejectedBy = nobody;
    let blocking: Gate<Run> | undefined = first;
    while (blocking !== undefined) {
      if (this.#isShut(blocking, nowMs)) return circuitOpen(blocking, nowMs);
      if (!rejects(blocking, run)) return undefined;
      rejectedBy = [...rejectedBy, blocking.number];
      blocking = this.#blocking(run, undefined, rejectedBy, nowMs);
    }
    return this.#begin(run, rejectedBy, nowMs);
  }

  /** The gate that keeps the run from starting: one with an open circuit, else its own, else any; undefined when there is none. */
  #blocking(run: Run, own: Gate<Run> | undefined, rejectedBy: readonly number[], nowMs: number): Gate<Run> | undefined {
    let found: Gate<Run> | undefined;
    for (const number of run.uses) {
      if (rejectedBy.includes(number)) continue;
      const gate = this.#gate(number);
      if (this.#isShut(gate, nowMs)) return gate;
      if ((found === undefined || gate === own) && !(gate.bulkhead.hasSlot() && gate.circuit.admits(nowMs))) found = gate;
    }
    return found;
  }

  #isShut(gate: Gate<Run>, nowMs: number): boolean {
    const state = this.#state(gate, nowMs);
    return state === "open" || state === "isolated";
  }

  #state(gate: Gate<Run>, nowMs: number, run?: Run): CircuitState {
    const state = gate.circuit.state(nowMs);
    if (state !== gate.told) {
      gate.told = state;
      this.#circuitChanged(gate.number, gate.name, state, run);
    }
    return state;
  }

  #gate(number: number): Gate<Run> {
    const gate = this.#gates[number];
    if (gate === undefined) throw new RangeError(`expected a dependency number below ${this.#gates.length}, got ${number}`);
    return gate;
  }
}

function rejects<Run extends Admissible>({ bulkhead }: Gate<Run>, run: Run): boolean {
  return bulkhead.policy.whenFull === "reject" && run.mayBeRejected;
}

function keep<Run>(answers: LaneAnswer<Run>, run: Run, answer: AdmissionAnswer): void {
  switch (answer.kind) {
    case "admitted":
      answers.admitted.push(run);
      return;
    case "postponed":
      answers.postponed.push({ run, answer });
      return;
    case "limited":
      answers.limited.push(run);
      return;
    case "waiting":
      return;
  }
}
