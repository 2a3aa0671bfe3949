// A pool of workers under an autoscaler, second by second: KEDA and the horizontal pod autoscaler as their documentation has them, with the numbers
// of a ScaledObject; workers that take messages while they have slots, and say what they say of themselves in production.
import { ScaleAdvice, type ScaleFacts, type ScalePolicy, workersWanted } from "#runtime/policy/scale-advice.ts";

interface ScalingRule {
  readonly type: "Percent" | "Pods";
  readonly value: number;
  readonly periodSeconds: number;
}

export interface Autoscaling {
  readonly minReplicaCount: number;
  readonly maxReplicaCount: number;
  readonly cooldownPeriod: number;
  readonly pollingInterval: number;
  readonly behavior: Readonly<Record<"scaleUp" | "scaleDown", { readonly stabilizationWindowSeconds: number; readonly policies: readonly ScalingRule[] }>>;
}

export interface Scene {
  readonly autoscaling: Autoscaling;
  readonly policy: ScalePolicy;
  readonly workers: number;
  /** Runs at once in one worker, and how long each takes on average. */
  readonly slots: number;
  readonly runSeconds: number;
  /** Messages that come in this second, on average. */
  readonly arrivals: (second: number) => number;
  /** Runs a second that a dependency of all of them ends at most, over all workers; each has so many slots in its bulkhead. */
  readonly dependency?: { readonly perSecond: number; readonly slots: number };
  readonly seed?: number;
}

interface Worker {
  readonly advice: ScaleAdvice;
  readonly readyAt: number;
  /** Seconds that each run still takes. */
  runs: number[];
  stopsAt: number | undefined;
  /** As Prometheus has it. */
  scraped: { readonly forRuns: number; readonly forBacklog: number } | undefined;
}

export interface Moment {
  readonly second: number;
  readonly workers: number;
  readonly queued: number;
  readonly running: number;
}

const startUpSeconds = 20;
const drainSeconds = 25;
const tolerance = 0.1;
const prefetch = 1.1;

export class Pool {
  readonly moments: Moment[] = [];
  /** Runs that a worker did not end before it had to be gone. */
  killed = 0;
  done = 0;
  /** Steps down after which the others could not have held what was under way. */
  tooFewLeft = 0;
  queued = 0;
  readonly #scene: Scene;
  #workers: Worker[] = [];
  #leaving: Worker[] = [];
  #state: number;
  #second = 0;
  #activeAt = 0;
  #recommended: { readonly at: number; readonly count: number }[];
  #changes: { readonly at: number; readonly by: number }[] = [];

  constructor(scene: Scene) {
    this.#scene = scene;
    this.#state = scene.seed ?? 1;
    // The autoscaler begins with what it finds.
    this.#recommended = [{ at: 0, count: scene.workers }];
    for (let index = 0; index < scene.workers; index += 1) this.#workers.push(this.#worker(-startUpSeconds));
  }

  run(seconds: number): void {
    for (const end = this.#second + seconds; this.#second < end; this.#second += 1) this.#pass();
  }

  /** How often the number of workers went up after it had gone down, or the other way round. */
  turns(from = 0): number {
    let turns = 0;
    let direction = 0;
    for (const [index, { workers, second }] of this.moments.entries()) {
      const step = Math.sign(workers - (this.moments[index - 1]?.workers ?? workers));
      if (step === 0 || second < from) continue;
      if (direction !== 0 && step !== direction) turns += 1;
      direction = step;
    }
    return turns;
  }

  #pass(): void {
    this.#arrive();
    this.#work();
    for (const worker of this.#workers) if (this.#isReady(worker)) worker.advice.look(this.#factsOf(worker), this.#second * 1_000);
    if (this.#second % 15 === 7) for (const worker of this.#workers) worker.scraped = this.#isReady(worker) ? worker.advice.view() : undefined;
    if (this.#second % this.#scene.autoscaling.pollingInterval === 0) this.#scale();
    const running = [...this.#workers, ...this.#leaving].reduce((sum, { runs }) => sum + runs.length, 0);
    this.moments.push({ second: this.#second, workers: this.#workers.length, queued: this.queued, running });
  }

  #arrive(): void {
    const mean = this.#scene.arrivals(this.#second);
    // As many as come by chance where each comes by itself.
    const deviation = Math.sqrt(mean) * Math.sqrt(3) * (2 * this.#random() - 1);
    this.queued += Math.max(0, Math.round(mean + deviation));
  }

  #work(): void {
    const { dependency, slots } = this.#scene;
    let left = dependency?.perSecond ?? Number.POSITIVE_INFINITY;
    for (const worker of [...this.#workers, ...this.#leaving]) {
      const before = worker.runs.length;
      const after: number[] = [];
      for (const run of worker.runs) {
        if (run > 1) after.push(run - 1);
        else if (left >= 1) left -= 1;
        else after.push(run);
      }
      worker.runs = after;
      this.done += before - after.length;
      if (worker.stopsAt !== undefined || !this.#isReady(worker)) continue;
      const taken = Math.min(this.queued, Math.max(0, (dependency?.slots ?? slots) - worker.runs.length));
      this.queued -= taken;
      for (let index = 0; index < taken; index += 1) worker.runs.push(this.#scene.runSeconds * (0.5 + this.#random()));
    }
    for (const worker of this.#leaving.filter(({ stopsAt, runs }) => runs.length === 0 || (stopsAt ?? 0) <= this.#second)) {
      this.killed += worker.runs.length;
      this.queued += worker.runs.length;
      this.#leaving = this.#leaving.filter((other) => other !== worker);
    }
  }

  /** What the broker counts holds what is locked, too. */
  #factsOf(worker: Worker): ScaleFacts {
    const { slots, runSeconds, dependency } = this.#scene;
    const running = worker.runs.length;
    const total = this.queued + [...this.#workers, ...this.#leaving].reduce((sum, { runs }) => sum + runs.length, 0);
    const isFull = running >= (dependency?.slots ?? slots);
    const held = isFull && this.queued > 0 ? Math.round(running * prefetch) : running;
    return {
      isReady: true,
      storeUp: true,
      brokerUp: true,
      isShort: undefined,
      sessionsWait: false,
      queued: total,
      skills: [{ skill: "work", held, running, concurrentMax: slots, runMs: runSeconds * 1_000, uses: ["api"] }],
      dependencies:
        dependency === undefined
          ? []
          : [{ dependency: "api", inUse: running, slots: dependency.slots, waiting: held - running, isShut: false, waitingForLimit: 0 }],
    };
  }

  #scale(): void {
    const { autoscaling } = this.#scene;
    const known = this.#workers.flatMap(({ scraped }) => scraped ?? []);
    const value =
      known.length === 0 ? 0 : known.reduce((sum, { forRuns }) => sum + forRuns, 0) + known.reduce((sum, { forBacklog }) => sum + forBacklog, 0) / known.length;
    const isActive = value > 0 || this.queued > 0;
    if (isActive) this.#activeAt = this.#second;
    const now = this.#workers.length;
    if (now === 0) {
      if (isActive) this.#change(Math.max(1, autoscaling.minReplicaCount));
      return;
    }
    if (autoscaling.minReplicaCount === 0 && !isActive && this.#second - this.#activeAt >= autoscaling.cooldownPeriod) return this.#change(0);
    const wanted = Math.abs(1 - value / now) <= tolerance ? now : workersWanted([{ forRuns: value, forBacklog: 0 }]);
    this.#change(this.#bounded(Math.min(autoscaling.maxReplicaCount, Math.max(1, autoscaling.minReplicaCount, wanted)), now));
  }

  /** By the stabilization window and the rates of steps. */
  #bounded(wanted: number, now: number): number {
    const { scaleUp, scaleDown } = this.#scene.autoscaling.behavior;
    this.#recommended.push({ at: this.#second, count: wanted });
    const within = (seconds: number): number[] => this.#recommended.filter(({ at }) => at > this.#second - seconds).map(({ count }) => count);
    const down = Math.max(wanted, ...within(scaleDown.stabilizationWindowSeconds));
    const up = Math.min(wanted, ...within(scaleUp.stabilizationWindowSeconds));
    const allowed = (rules: readonly ScalingRule[], direction: 1 | -1): number =>
      Math.max(
        ...rules.map(({ type, value, periodSeconds }) => {
          const moved = this.#changes
            .filter(({ at, by }) => at > this.#second - periodSeconds && Math.sign(by) === direction)
            .reduce((sum, { by }) => sum + by, 0);
          const base = now - moved;
          return Math.abs((type === "Pods" ? value : Math.ceil((base * value) / 100)) - Math.abs(moved));
        }),
      );
    if (up > now) return Math.min(up, now + allowed(scaleUp.policies, 1));
    if (down < now) return Math.max(down, now - allowed(scaleDown.policies, -1));
    return now;
  }

  #change(count: number): void {
    const by = count - this.#workers.length;
    if (by === 0) return;
    this.#changes.push({ at: this.#second, by });
    for (let index = 0; index < by; index += 1) this.#workers.push(this.#worker(this.#second));
    // Whichever: the autoscaler does not ask what they are at.
    for (let index = 0; index < -by; index += 1) {
      const [worker] = this.#workers.splice(Math.floor(this.#random() * this.#workers.length), 1);
      if (worker !== undefined) this.#leaving.push({ ...worker, stopsAt: this.#second + drainSeconds });
    }
    const running = [...this.#workers, ...this.#leaving].reduce((sum, { runs }) => sum + runs.length, 0);
    if (by < 0 && running > this.#workers.length * this.#scene.slots) this.tooFewLeft += 1;
  }

  #worker(startedAt: number): Worker {
    return { advice: new ScaleAdvice(this.#scene.policy), readyAt: startedAt + startUpSeconds, runs: [], stopsAt: undefined, scraped: undefined };
  }

  #isReady({ readyAt }: Worker): boolean {
    return this.#second >= readyAt;
  }

  #random(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state / 2 ** 32;
  }
}
