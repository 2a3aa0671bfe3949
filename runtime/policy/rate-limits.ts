/**
 * Rate limits and token quotas: what a run will use of its dependencies is taken before it begins, as an estimate, and corrected when it
 * has ended. It begins with all that it needs of all limits or not at all. Each value of a limit's key (a tenant, a project, a skill) has a
 * share of its own (rate-share.ts), so that one that is used up holds nobody else up. Without units a run waits as long as its dependency's
 * bulkhead lets it, or is postponed until they should be there: neither counts as a try.
 *
 * A run of several limits waits for one at a time, everywhere before those that came after it, and holds nothing meanwhile: those behind it go on.
 * Once it has had its turn at each that keeps it waiting, though, it takes what it needs where its turn is, and waits for the rest so; else
 * those that need one limit only could pass it for ever, where units of one come while there are none of the other. Units flow in by themselves, so that
 * two such runs cannot keep each other waiting; and what is taken so stands idle no longer than the first place at the others takes.
 *
 * A run that turns out to need more than was estimated asks for more as it goes, ahead of those that have not begun.
 */
import { type Allowance, type LimitPolicy, type LimitScope, type LimitUnit, type Usage, defaultBurstMs } from "../core/limits.ts";
import type { CallReport } from "../core/outcome.ts";
import type { DependencyPolicy } from "../core/skill.ts";
import { type BucketDraw, type BucketGrant, type BucketRate, minuteMs } from "../core/token-bucket.ts";
import type { Admissible, AdmissionAnswer, LaneAnswer, Permits, Postponed } from "./admission.ts";
import { RateShare } from "./rate-share.ts";
import { UsageAverage } from "./usage-average.ts";

/** A run as limits see it. */
export interface Limitable extends Admissible {
  /** What it is counted by; empty when it names none. */
  limitKey(by: LimitScope): string;
}

/** A run in progress asks for more. */
export interface MoreRequest {
  /** Of the execution that asks: the run may be at another when the answer comes. */
  readonly runId: number;
  readonly requestId: number;
  readonly dependency: number;
  readonly usage: Usage;
  /** How long the call can wait. */
  readonly waitMaxMs: number;
}

export interface MoreAnswer {
  readonly runId: number;
  readonly requestId: number;
  /** 0 when it may go on; else how long there will be nothing. */
  readonly afterMs: number;
}

/** One draw to be made, and the share that it is for. */
export interface ShareDraw extends BucketDraw, BucketRate {
  readonly key: string;
}

/** What one limit of one dependency is at, for people. */
export interface LimitView {
  readonly dependency: string;
  readonly policy: LimitPolicy;
  /** Of runs that wait for it, over all its keys. */
  readonly waiting: number;
  /** The keys that are used up now, the most waited for first; 10 at most. */
  readonly usedUp: readonly { readonly key: string; readonly waiting: number; readonly forMs: number }[];
  /** Since the start: runs that were postponed. */
  readonly postponed: number;
}

interface Limit {
  readonly dependency: string;
  policy: LimitPolicy;
  postponed: number;
}

interface Gate {
  readonly number: number;
  readonly name: string;
  readonly waitMaxMs: number;
  readonly limits: readonly Limit[];
  readonly averages: UsageAverage;
}

interface Share<Run> extends RateShare<Waiter<Run>> {}

interface Cost<Run> {
  readonly entry: Entry<Run>;
  readonly share: Share<Run>;
  readonly units: number;
}

interface Waiter<Run> {
  readonly run: Run;
  /** It came before those whose number is higher. */
  readonly order: number;
  /** What it needs still. */
  readonly costs: readonly Cost<Run>[];
  /** What it has taken, and gives back when it cannot begin. */
  readonly held: readonly Cost<Run>[];
  /** Keys of the shares at which it has had its turn, and could not begin for another. */
  readonly turns: readonly string[];
  /** What it takes in all, of each dependency that is limited. */
  readonly usage: readonly Allowance[];
  readonly untilMs: number;
  /** Undefined for a run that has not begun. */
  readonly more: MoreRequest | undefined;
}

/** What a run that has begun has taken. */
interface Permit {
  /** Its order as one that waited. */
  readonly order: number;
  /** By the number of each dependency that is limited. */
  readonly usage: Map<number, { requests: number; tokens: number }>;
}

interface Entry<Run> {
  readonly key: string;
  readonly share: Share<Run>;
  readonly limit: Limit;
  readonly unit: LimitUnit;
}

const admitted: AdmissionAnswer = { kind: "admitted" };
const limited: AdmissionAnswer = { kind: "limited" };
const units: readonly LimitUnit[] = ["requests", "tokens"];
const usedUpShownMax = 10;
const nothing: readonly never[] = [];

export function rateOf(policy: LimitPolicy, unit: LimitUnit): BucketRate | undefined {
  const perMinute = unit === "requests" ? policy.requestsPerMinute : policy.tokensPerMinute;
  if (perMinute === undefined) return undefined;
  return { perMinute, capacity: Math.max(1, (perMinute * (policy.burstMs ?? defaultBurstMs)) / minuteMs) };
}

export class RateLimits<Run extends Limitable> implements Permits<Run> {
  readonly #gates: readonly (Gate | undefined)[];
  readonly #shares = new Map<string, Entry<Run>>();
  /** Shares that may have something to draw, beside those that runs wait for. */
  readonly #touched = new Set<Entry<Run>>();
  /** Shares that runs wait for: each may have something to draw at any time, whatever took the units of those that wait. */
  readonly #waitedFor = new Set<Entry<Run>>();
  readonly #permits = new Map<Run, Permit>();
  readonly #drawing = new Map<string, { readonly entry: Entry<Run>; readonly draw: BucketDraw }>();
  /** Of the one that came last. */
  #lastOrder = 0;
  /** Of runs that had what they need and could not begin: when they try again, they are before those that came after them. */
  readonly #orders = new WeakMap<Run, number>();
  /** Runs in progress that wait for more. */
  readonly #askers = new Set<Run>();
  #answers: MoreAnswer[] = [];
  readonly #asks: () => void;

  /** `asks` is called when there may be something to draw, or a time to wait for. */
  constructor(dependencies: readonly DependencyPolicy[], asks: () => void) {
    this.#asks = asks;
    this.#gates = dependencies.map(({ name, limits = [], estimatedTokens = 0, bulkhead }, number) =>
      limits.length === 0
        ? undefined
        : {
            number,
            name,
            waitMaxMs: bulkhead.waitMaxMs,
            limits: limits.map((policy) => ({ dependency: name, policy, postponed: 0 })),
            averages: new UsageAverage({ requests: 1, tokens: estimatedTokens }),
          },
    );
  }

  get waiting(): number {
    let sum = 0;
    for (const { share } of this.#waitedFor) sum += share.waiting;
    return sum;
  }

  /** Whether a limit that all such runs share is used up for longer than one could wait. */
  isShut(uses: readonly number[], nowMs: number): boolean {
    return uses.some((number) => {
      const gate = this.#gates[number];
      return gate !== undefined && units.some((unit) => this.#shares.get(keyOf(gate.name, unit))?.share.isOut(gate.waitMaxMs, nowMs) === true);
    });
  }

  /** Why the run would have to return later, as far as is known without asking; undefined when it may try. */
  refuses(run: Run, nowMs: number): Postponed | undefined {
    for (const number of run.uses) {
      const gate = this.#gates[number];
      if (gate === undefined) continue;
      for (const cost of this.#costsOf(run, gate, gate.averages.of(run.limitKey("skill")))) {
        if (cost.share.isOut(gate.waitMaxMs, nowMs)) return postponed(cost, cost.share.promise(cost.units, nowMs));
      }
    }
    return undefined;
  }

  /** Takes all that the run needs, queues it, or says that it must return later. */
  enter(run: Run, nowMs: number): AdmissionAnswer {
    const costs: Cost<Run>[] = [];
    const usage: Allowance[] = [];
    let waitMaxMs = Number.POSITIVE_INFINITY;
    for (const number of run.uses) {
      const gate = this.#gates[number];
      if (gate === undefined) continue;
      const estimate = gate.averages.of(run.limitKey("skill"));
      usage.push({ dependency: number, ...estimate });
      costs.push(...this.#costsOf(run, gate, estimate));
      waitMaxMs = Math.min(waitMaxMs, gate.waitMaxMs);
    }
    if (usage.length === 0) return admitted;
    const out = costs.find(({ share }) => share.isOut(waitMaxMs, nowMs));
    if (out !== undefined) return postponed(out, out.share.promise(out.units, nowMs));
    const waiter = this.#waiter({ run, costs, usage, untilMs: nowMs + waitMaxMs, more: undefined }, this.#orders.get(run));
    this.#orders.delete(run);
    const blocking = costs.find(({ share, units: some }) => share.waiting > 0 || !share.canSpend(some, nowMs));
    if (blocking === undefined) this.#take(waiter);
    else this.#wait(waiter, blocking);
    return blocking === undefined ? admitted : limited;
  }

  /** A run that has begun needs more; the answer comes with `takeAnswers`. */
  more(run: Run, request: MoreRequest, nowMs: number): void {
    const { dependency, usage, waitMaxMs } = request;
    const gate = this.#gates[dependency];
    const costs = gate === undefined ? [] : this.#costsOf(run, gate, usage).filter(({ units: some }) => some > 0);
    const waiter = this.#waiter({ run, costs, usage: [{ dependency, ...usage }], untilMs: nowMs + waitMaxMs, more: request });
    const blocking = costs.find(({ share, units: some }) => isQueuedFor(share) || !share.canSpend(some, nowMs));
    if (blocking === undefined) this.#take(waiter);
    else if (blocking.share.isOut(waitMaxMs, nowMs)) this.#answer(request, Math.max(1, blocking.share.promise(blocking.units, nowMs)));
    else this.#wait(waiter, blocking);
    this.#asks();
  }

  /** What was answered to runs in progress since it was last asked. */
  takeAnswers(): readonly MoreAnswer[] {
    if (this.#answers.length === 0) return this.#answers;
    const answers = this.#answers;
    this.#answers = [];
    return answers;
  }

  /** What a run that has begun may use. */
  allowances(run: Run): readonly Allowance[] | undefined {
    const permit = this.#permits.get(run);
    return permit && Array.from(permit.usage, ([dependency, usage]) => ({ dependency, ...usage }));
  }

  /** The run could not begin after all. */
  giveBack(run: Run): void {
    const permit = this.#permits.get(run);
    if (permit === undefined) return;
    this.#permits.delete(run);
    this.#orders.set(run, permit.order);
    for (const [number, taken] of permit.usage) this.#correct(run, number, taken);
  }

  /** The run has ended; without `calls` it is not known what it used, and all that it took counts. */
  leave(run: Run, calls: readonly CallReport[] | undefined): void {
    this.#stopAsking(run);
    const permit = this.#permits.get(run);
    if (permit === undefined) return;
    this.#permits.delete(run);
    if (calls === undefined) return;
    for (const [number, taken] of permit.usage) {
      const gate = this.#gates[number];
      const report = calls.find(({ dependency }) => dependency === gate?.name)?.usage;
      // What made no call says nothing of those that do.
      if (report !== undefined) gate?.averages.learn(run.limitKey("skill"), report);
      const used = report ?? { requests: 0, tokens: 0 };
      this.#correct(run, number, { requests: taken.requests - used.requests, tokens: taken.tokens - used.tokens });
    }
  }

  /** Runs that may begin now, having taken what they need, and those that cannot wait any longer. */
  next(nowMs: number): LaneAnswer<Run> {
    const answer: LaneAnswer<Run> = { admitted: [], postponed: [], limited: [] };
    for (const entry of this.#waitedFor) this.#moveOn(entry, "all", nowMs, answer);
    return answer;
  }

  /** The same of runs in progress alone, which are answered also while none may begin. */
  nextInProgress(nowMs: number): void {
    if (this.#askers.size === 0) return;
    for (const entry of this.#waitedFor) this.#moveOn(entry, "first", nowMs, { admitted: [], postponed: [], limited: [] });
  }

  /** Takes all runs out that have not begun. */
  clear(): void {
    this.#remove(({ more }) => more === undefined);
  }

  /** What is to be drawn now; each must be answered. */
  draws(nowMs: number): readonly ShareDraw[] {
    const draws: ShareDraw[] = [];
    for (const entry of this.#waitedFor) this.#touched.add(entry);
    for (const entry of this.#touched) {
      const { key, share } = entry;
      const draw = share.ask(nowMs);
      if (draw === undefined) continue;
      this.#drawing.set(key, { entry, draw });
      draws.push({ key, ...share.rate, ...draw });
    }
    this.#touched.clear();
    return draws;
  }

  /** What came of a draw; undefined when it failed: then nothing is to be had for `failedMs`. */
  answered(key: string, grant: BucketGrant | undefined, nowMs: number, failedMs = 0): void {
    const drawing = this.#drawing.get(key);
    if (drawing === undefined) return;
    this.#drawing.delete(key);
    const { entry, draw } = drawing;
    entry.share.answered(draw, grant ?? { granted: 0, level: 0, afterMs: draw.waitMaxMs + failedMs }, nowMs);
    this.#touch(entry);
  }

  /** Call it every `shareMs`: what is given back, or was used beyond what was drawn. Forgets what nobody uses. */
  look(nowMs: number): readonly ShareDraw[] {
    const back: ShareDraw[] = [];
    for (const [key, { share }] of this.#shares) {
      const units = share.look(nowMs);
      if (units !== 0) back.push({ key, ...share.rate, need: 0, want: 0, back: units, waitMaxMs: 0 });
      if (share.isIdle(nowMs)) this.#shares.delete(key);
    }
    return back;
  }

  /** Whether there is anything to look at from time to time. */
  get isActive(): boolean {
    return this.#shares.size > 0;
  }

  /** Until the next of the runs that wait can go on; `Infinity` when only an answer can make one. One that could by now, and is held up, is due after `heldUpMs`. */
  dueMs(nowMs: number, heldUpMs = 0): number {
    let due = Number.POSITIVE_INFINITY;
    for (const { share } of this.#waitedFor) {
      const inMs = share.dueMs(nowMs);
      due = Math.min(due, inMs > 0 ? inMs : heldUpMs);
    }
    return due;
  }

  view(nowMs: number): LimitView[] {
    return this.#gates.flatMap((gate) =>
      (gate?.limits ?? []).map((limit) => {
        const own = [...this.#shares].filter(([, entry]) => entry.limit === limit);
        const usedUp = own
          .filter(([, { share }]) => share.waiting > 0 || share.isOut(0, nowMs))
          .map(([key, { share }]) => ({ key, waiting: share.waiting, forMs: share.outForMs(nowMs) }))
          .toSorted((one, other) => other.waiting - one.waiting || other.forMs - one.forMs)
          .slice(0, usedUpShownMax);
        const inAll = own.reduce((sum, [, { share }]) => sum + share.waiting, 0);
        return { dependency: limit.dependency, policy: limit.policy, waiting: inAll, usedUp, postponed: limit.postponed };
      }),
    );
  }

  /** Changes a limit that there is from now on; false when the dependency has none that counts by this. */
  change(dependency: string, by: LimitScope | undefined, changes: Omit<LimitPolicy, "by">): boolean {
    const limit = this.#gates.find((gate) => gate?.name === dependency)?.limits.find(({ policy }) => policy.by === by);
    if (limit === undefined) return false;
    limit.policy = { ...limit.policy, ...changes };
    for (const entry of this.#shares.values()) {
      const rate = entry.limit === limit ? rateOf(limit.policy, entry.unit) : undefined;
      if (rate === undefined) continue;
      entry.share.change(rate);
      this.#touch(entry);
    }
    return true;
  }

  /** Serves those that wait for a share, and refuses those whose time is over: all of them, or those that go first. */
  #moveOn(entry: Entry<Run>, whom: "all" | "first", nowMs: number, answer: LaneAnswer<Run>): void {
    const { share } = entry;
    for (let place = share.first(); place !== undefined && share.canSpend(place.cost, nowMs); place = share.first()) {
      if (whom === "first" && !place.isFirst) break;
      share.dequeue();
      const waiter = this.#renewed(place.waiter);
      const [first, ...others] = blockingOf(waiter, nowMs);
      if (first !== undefined) this.#hadTurn(waiter, entry, first, others);
      else if (this.#take(waiter)) answer.admitted.push(waiter.run);
    }
    const refused = share.refuse(nowMs, whom);
    for (const { waiter, forMs } of refused) {
      this.#giveUp(waiter);
      const cost = waiter.costs.find((one) => one.share === share);
      if (waiter.more !== undefined) this.#answer(waiter.more, Math.max(1, forMs));
      else if (cost !== undefined) answer.postponed.push({ run: waiter.run, answer: postponed(cost, forMs) });
    }
    if (share.waiting === 0) this.#waitedFor.delete(entry);
    else if (refused.length > 0) this.#asks();
  }

  /** Its turn has come at one share, and others block it: it waits for one of these, with what it has got once it has had its turn at each. */
  #hadTurn(waiter: Waiter<Run>, entry: Entry<Run>, first: Cost<Run>, others: readonly Cost<Run>[]): void {
    const unknown = [first, ...others].find((cost) => !waiter.turns.includes(cost.entry.key));
    if (unknown !== undefined) return this.#wait({ ...waiter, turns: [...waiter.turns, entry.key] }, unknown);
    const taken = waiter.costs.filter((cost) => cost.entry === entry);
    for (const cost of taken) this.#spend(cost);
    this.#wait({ ...waiter, costs: waiter.costs.filter((cost) => cost.entry !== entry), held: [...waiter.held, ...taken] }, first);
  }

  /** It does not begin: what it has taken is for others. */
  #giveUp({ held }: Waiter<Run>): void {
    for (const { entry, units: some } of held) {
      const { key, limit, unit } = entry;
      const rate = rateOf(limit.policy, unit);
      if (rate === undefined) continue;
      this.#entryOf(key, rate, limit, unit).share.correct(some);
      this.#asks();
    }
  }

  /** While it waited for one share, another of its own may have been forgotten, as nobody used it: it goes by the one that is there now. */
  #renewed(waiter: Waiter<Run>): Waiter<Run> {
    if (waiter.costs.every(({ entry }) => this.#shares.get(entry.key) === entry)) return waiter;
    const costs = waiter.costs.flatMap((cost): Cost<Run>[] => {
      const { key, limit, unit } = cost.entry;
      const rate = rateOf(limit.policy, unit);
      if (rate === undefined) return [];
      const entry = this.#entryOf(key, rate, limit, unit);
      return [{ entry, share: entry.share, units: cost.units }];
    });
    return { ...waiter, costs };
  }

  #waiter(waiter: Omit<Waiter<Run>, "order" | "held" | "turns">, knownOrder?: number): Waiter<Run> {
    if (knownOrder === undefined) this.#lastOrder += 1;
    return { ...waiter, order: knownOrder ?? this.#lastOrder, held: nothing, turns: nothing };
  }

  #touch(entry: Entry<Run>): void {
    this.#touched.add(entry);
    this.#asks();
  }

  #wait(waiter: Waiter<Run>, { entry, share, units: some }: Cost<Run>): void {
    if (waiter.more === undefined) {
      waiter.run.waitedFor = `a limit of ${entry.limit.dependency}`;
      share.enqueue(waiter, some, waiter.untilMs, waiter.order);
    } else {
      share.enqueueFirst(waiter, some, waiter.untilMs, waiter.order);
      this.#askers.add(waiter.run);
    }
    this.#waitedFor.add(entry);
    this.#asks();
  }

  /** Takes what it needs; true for a run that may begin by it. */
  #take({ run, costs, usage, more, order }: Waiter<Run>): boolean {
    const permit = this.#permits.get(run) ?? { order, usage: new Map() };
    this.#permits.set(run, permit);
    for (const cost of costs) this.#spend(cost);
    for (const { dependency, requests, tokens } of usage) {
      const before = permit.usage.get(dependency);
      permit.usage.set(dependency, { requests: requests + (before?.requests ?? 0), tokens: tokens + (before?.tokens ?? 0) });
    }
    if (more !== undefined) this.#answer(more, 0);
    return more === undefined;
  }

  #spend({ entry, share, units: some }: Cost<Run>): void {
    share.spend(some);
    this.#touch(entry);
  }

  #answer({ runId, requestId }: MoreRequest, afterMs: number): void {
    this.#answers.push({ runId, requestId, afterMs });
  }

  /** What the run waits for was for the execution that has ended. It may be what those behind it waited for. */
  #stopAsking(run: Run): void {
    if (!this.#askers.delete(run)) return;
    this.#remove((waiter) => waiter.run === run && waiter.more !== undefined);
    this.#asks();
  }

  #remove(isMeant: (waiter: Waiter<Run>) => boolean): void {
    for (const entry of this.#waitedFor) {
      for (const waiter of entry.share.remove(isMeant)) this.#giveUp(waiter);
      if (entry.share.waiting === 0) this.#waitedFor.delete(entry);
    }
  }

  #correct(run: Run, number: number, usage: Usage): void {
    const gate = this.#gates[number];
    for (const { share, entry } of gate === undefined ? [] : this.#costsOf(run, gate, usage)) {
      share.correct(usage[entry.unit]);
      // The units of those that wait were used, or there are more.
      if (share.waiting > 0) this.#asks();
    }
  }

  #costsOf(run: Run, gate: Gate, usage: Usage): Cost<Run>[] {
    const costs: Cost<Run>[] = [];
    for (const limit of gate.limits) {
      const { by } = limit.policy;
      const value = by && `/${by}=${encodeURIComponent(run.limitKey(by))}`;
      for (const unit of units) {
        const rate = rateOf(limit.policy, unit);
        if (rate === undefined) continue;
        const entry = this.#entryOf(keyOf(gate.name, unit, value), rate, limit, unit);
        costs.push({ entry, share: entry.share, units: usage[unit] });
      }
    }
    return costs;
  }

  #entryOf(key: string, rate: BucketRate, limit: Limit, unit: LimitUnit): Entry<Run> {
    const known = this.#shares.get(key);
    if (known !== undefined) return known;
    const entry: Entry<Run> = { key, share: new RateShare<Waiter<Run>>(rate), limit, unit };
    this.#shares.set(key, entry);
    return entry;
  }
}

/** What the waiter cannot have now. A run in progress has had its turn; one that has not begun lets those go first that wait for another of its shares. */
function blockingOf<Run>({ costs, more }: Waiter<Run>, nowMs: number): Cost<Run>[] {
  return costs.filter(({ share, units: some }) => (more === undefined && isQueuedFor(share)) || !share.canSpend(some, nowMs));
}

/** Runs in progress wait for it: who comes later has no units before them, even if fewer would do. */
function isQueuedFor<Run>(share: Share<Run>): boolean {
  return share.first()?.isFirst === true;
}

function keyOf(dependency: string, unit: LimitUnit, value = ""): string {
  return `${dependency}/${unit}${value}`;
}

function postponed<Run>({ entry }: Cost<Run>, atLeastMs: number): Postponed {
  entry.limit.postponed += 1;
  return { kind: "postponed", why: "rate-limited", dependency: entry.limit.dependency, atLeastMs };
}
