/**
 * How many workers a pool should have, as each of them sees it. What is asked for has two parts, which whoever scales puts together (`workersWanted`):
 *
 * - for runs: the part of itself that a worker uses, over the part that it may use at most. All workers' together is how many it takes to do what
 *   is done now. While something is full that further workers would only wait for as well (a bulkhead, a limit, an open circuit), or the
 *   store or the broker is away, it is one: the pool stays as it is.
 * - for the backlog: what would end the work that waits in the queues within `drainWithinMs`. Each worker sees the same queues, so that these are
 *   averaged. A worker that could begin more would get what waits: nothing does then, whoever holds the messages that still lie there.
 *
 * Both are averages over some seconds; that more workers come sooner than they go is left to what scales (a cooldown).
 */

export interface ScalePolicy {
  /** In what time the work that waits is to be done. */
  readonly drainWithinMs: number;
  /** The part of what a worker could have under way that is to be used; the rest is for what comes in bursts. */
  readonly useMax: number;
}

export interface SkillLoad {
  readonly skill: string;
  readonly held: number;
  readonly running: number;
  /** Of its runs under way at once. */
  readonly concurrentMax: number;
  /** How long its runs take lately; undefined while that is unknown. */
  readonly runMs: number | undefined;
  /** Dependencies by name. */
  readonly uses: readonly string[];
}

export interface DependencyLoad {
  readonly dependency: string;
  readonly inUse: number;
  readonly slots: number;
  /** Runs that wait for a slot. */
  readonly waiting: number;
  readonly isShut: boolean;
  /** Runs that wait for one of its rate limits. */
  readonly waitingForLimit: number;
}

export interface ScaleFacts {
  readonly isReady: boolean;
  /** Somebody has asked that nothing be begun. */
  readonly isPaused?: boolean;
  readonly storeUp: boolean;
  readonly brokerUp: boolean;
  /** Memory or the event loop of the worker runs short. */
  readonly isShort: "memory" | "loop" | undefined;
  /** Sessions that have messages wait until others have ended. */
  readonly sessionsWait: boolean;
  /** Messages that lie in the queues, those that are locked among them; undefined where the broker does not say. */
  readonly queued: number | undefined;
  readonly skills: readonly SkillLoad[];
  readonly dependencies: readonly DependencyLoad[];
}

export const bottleneckKinds = ["none", "threads", "memory", "loop", "bulkhead", "circuit", "limit", "store", "broker"] as const;
export type BottleneckKind = (typeof bottleneckKinds)[number];

export interface Bottleneck {
  readonly kind: BottleneckKind;
  /** Of the dependency that it is about; empty where it is about none. */
  readonly dependency: string;
  /** Whether further workers would do something about it. */
  readonly workersHelp: boolean;
}

export interface ScaleView {
  /** Workers that are asked for; all workers' together. */
  readonly forRuns: number;
  /** Workers that are asked for beside those; the average over the workers. */
  readonly forBacklog: number;
  readonly bottleneck: Bottleneck;
  /** Messages that nobody holds, and how long one thing after the other they would take. */
  readonly waiting: number;
  readonly waitingWorkMs: number;
  /** Runs that this worker can have under way at once, of the mix that it has. */
  readonly safeConcurrency: number;
}

/** From this part of its concurrency on, a worker could not begin much more. */
const fullFrom = 0.9;
/** Whoever holds anything is not to be taken away as idle. */
const leastForHolding = 0.05;
/** Averages forget in this time. */
const forgetMs = 15_000;
/** What a run is taken to last before one has ended. */
const unknownRunMs = 1_000;
/** From this part of what is held on, it is what stands still that counts. */
const mostFrom = 0.5;

export class ScaleAdvice {
  readonly #policy: ScalePolicy;
  #forRuns = 0;
  #forBacklog = 0;
  #looked: { readonly atMs: number; readonly now: ScaleView } | undefined;

  constructor(policy: ScalePolicy) {
    this.#policy = policy;
  }

  /** Once a second. */
  look(facts: ScaleFacts, nowMs: number): void {
    const now = adviceOf(facts, this.#policy);
    const passedMs = this.#looked === undefined ? forgetMs : nowMs - this.#looked.atMs;
    const weight = 1 - Math.exp(-passedMs / forgetMs);
    this.#forRuns = averaged(this.#forRuns, now.forRuns, weight);
    this.#forBacklog = averaged(this.#forBacklog, now.forBacklog, weight);
    this.#looked = { atMs: nowMs, now };
  }

  /** Undefined before the first look. */
  view(): ScaleView | undefined {
    return this.#looked && { ...this.#looked.now, forRuns: this.#forRuns, forBacklog: this.#forBacklog };
  }
}

/** What falls to nothing comes to 0, and not ever nearer to it: a pool scales to zero then. */
function averaged(before: number, now: number, weight: number): number {
  const average = before + (now - before) * weight;
  return now === 0 && average < leastForHolding / 2 ? 0 : average;
}

/** Of a pool, from what its workers ask for; 0 where nobody asks for any. */
export function workersWanted(views: readonly Pick<ScaleView, "forRuns" | "forBacklog">[]): number {
  if (views.length === 0) return 0;
  const sum = (part: "forRuns" | "forBacklog"): number => views.reduce((total, view) => total + view[part], 0);
  // Sums of fractions are not whole where they should be.
  return Math.max(0, Math.ceil(sum("forRuns") + sum("forBacklog") / views.length - 1e-6));
}

/** At this moment, without what was before. */
export function adviceOf(facts: ScaleFacts, { drainWithinMs, useMax }: ScalePolicy): ScaleView {
  const { skills, dependencies, queued = 0 } = facts;
  const held = sumOf(skills, ({ held }) => held);
  const blocked = skills.map((skill) => blockOf(skill, dependencies));
  const standing = sumOf(skills, ({ held }, index) => (blocked[index] === undefined ? 0 : held));
  const moving = held === 0 ? 1 : 1 - standing / held;
  // Runs that only wait for what is full are no use of this worker that another would take over.
  const use = useOf(
    facts,
    skills.filter((_skill, index) => blocked[index] === undefined),
  );
  const outside = outsideOf(facts, skills, blocked, moving);
  const bottleneck = outside ?? ownOf(facts, use);
  const isFull = use >= fullFrom || blocked.some((block) => block !== undefined) || !facts.isReady;
  // What is paused is not to be done by others either.
  const waiting = isFull && facts.isPaused !== true ? Math.max(0, queued - held) : 0;
  const runMs = runMsOf(skills);
  const safeConcurrency = concurrencyOf(skills, dependencies);
  // More workers than could begin all of it at once would have nothing to do.
  const drainMs = Math.max(drainWithinMs, runMs);
  const forOwn = Math.max(use / useMax, Math.min(1, slotUseOf(dependencies) / useMax), standing === 0 ? 0 : 1, held > 0 ? leastForHolding : 0);
  return {
    forRuns: outside === undefined ? forOwn : 1,
    forBacklog: outside === undefined ? (moving * waiting * runMs) / (safeConcurrency * drainMs) : 0,
    bottleneck,
    waiting,
    waitingWorkMs: waiting * runMs,
    safeConcurrency,
  };
}

function sumOf<Item>(items: readonly Item[], of: (item: Item, index: number) => number): number {
  return items.reduce((total, item, index) => total + of(item, index), 0);
}

/** What keeps runs of the skill from going on, though threads are free; undefined while nothing does. */
function blockOf({ uses }: SkillLoad, dependencies: readonly DependencyLoad[]): Bottleneck | undefined {
  for (const { dependency, inUse, slots, waiting, isShut, waitingForLimit } of dependencies) {
    if (!uses.includes(dependency)) continue;
    if (isShut) return { kind: "circuit", dependency, workersHelp: false };
    if (waitingForLimit > 0) return { kind: "limit", dependency, workersHelp: false };
    if (inUse >= slots && waiting > 0) return { kind: "bulkhead", dependency, workersHelp: false };
  }
  return undefined;
}

function outsideOf(
  { storeUp, brokerUp }: ScaleFacts,
  skills: readonly SkillLoad[],
  blocked: readonly (Bottleneck | undefined)[],
  moving: number,
): Bottleneck | undefined {
  if (!storeUp) return { kind: "store", dependency: "", workersHelp: false };
  if (!brokerUp) return { kind: "broker", dependency: "", workersHelp: false };
  if (moving > mostFrom) return undefined;
  let most: { readonly block: Bottleneck; readonly held: number } | undefined;
  blocked.forEach((block, index) => {
    const held = skills[index]?.held ?? 0;
    if (block !== undefined && held > (most?.held ?? 0)) most = { block, held };
  });
  return most?.block;
}

function ownOf({ isShort }: ScaleFacts, use: number): Bottleneck {
  const kind = isShort ?? (use >= fullFrom ? "threads" : "none");
  return { kind, dependency: "", workersHelp: kind !== "none" };
}

/** Part of what it could have under way. */
function useOf({ isShort, sessionsWait }: ScaleFacts, skills: readonly SkillLoad[]): number {
  if (isShort !== undefined || sessionsWait) return 1;
  return Math.min(
    1,
    sumOf(skills, ({ running, concurrentMax }) => running / Math.max(1, concurrentMax)),
  );
}

/** Of the fullest bulkhead: fewer workers have fewer slots. */
function slotUseOf(dependencies: readonly DependencyLoad[]): number {
  return Math.max(0, ...dependencies.map(({ inUse, slots }) => inUse / Math.max(1, slots)));
}

function runMsOf(skills: readonly SkillLoad[]): number {
  const known = skills.flatMap(({ held, runMs }) => (runMs === undefined ? [] : [{ weight: held + 1e-3, runMs }]));
  if (known.length === 0) return unknownRunMs;
  return sumOf(known, ({ weight, runMs }) => weight * runMs) / sumOf(known, ({ weight }) => weight);
}

/** Skills share threads: each run takes the part of the worker that one of its skill's `concurrentMax` is, and no more go on than bulkheads let in. */
function concurrencyOf(skills: readonly SkillLoad[], dependencies: readonly DependencyLoad[]): number {
  const weights = skills.map(({ held }) => held + 1e-3);
  const places = skills.map(({ concurrentMax, uses }) =>
    Math.max(1, Math.min(concurrentMax, ...dependencies.flatMap(({ dependency, slots }) => (uses.includes(dependency) ? [slots] : [])))),
  );
  if (skills.length === 0) return 1;
  return sumOf(weights, (weight) => weight) / sumOf(weights, (weight, index) => weight / (places[index] ?? 1));
}
