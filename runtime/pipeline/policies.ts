/**
 * The policies of a running worker, for people: what each dependency's circuit and bulkhead and the retry budget are at, and their
 * changes by hand. Changes last until the worker ends.
 */
import type { Clock } from "../core/clock.ts";
import { checkChanges } from "../core/config/changes.ts";
import { concurrencySchema } from "../core/config/concurrency.ts";
import { bulkheadChanges } from "../core/config/dependencies.ts";
import { latencyWatchChanges } from "../core/config/latency-watch.ts";
import { loadSheddingChanges } from "../core/config/load-shedding.ts";
import { limitChanges } from "../core/config/limits.ts";
import { retryBudgetChanges } from "../core/config/retry-budget.ts";
import type { LatencyWatchPolicy } from "../core/latency-watch.ts";
import type { LoadSheddingPolicy } from "../core/load-shedding.ts";
import type { LimitPolicy, LimitScope } from "../core/limits.ts";
import type { BulkheadPolicy, ConcurrencyPolicy, RetryBudgetPolicy } from "../core/skill.ts";
import type { AdaptiveLimit, AdaptiveView } from "../policy/adaptive-limit.ts";
import type { Admission } from "../policy/admission.ts";
import type { Circuit, CircuitView } from "../policy/circuit.ts";
import type { LoadShedding, LoadSheddingView } from "../policy/load-shedding.ts";
import type { LimitView, RateLimits } from "../policy/rate-limits.ts";
import type { Bulkhead, BulkheadView } from "../policy/bulkhead.ts";
import type { RetryBudget, RetryBudgetView } from "../policy/retry-budget.ts";
import type { LatenciesView, Latency } from "./latency.ts";
import type { Work } from "./work.ts";

export interface PoliciesView {
  readonly dependencies: readonly {
    readonly dependency: string;
    readonly bulkhead: BulkheadView;
    readonly circuit: CircuitView;
    readonly adaptive?: AdaptiveView;
  }[];
  readonly retryBudget: RetryBudgetView;
  readonly loadShedding: LoadSheddingView;
  readonly latency: LatenciesView;
  /** Of all dependencies that are limited. */
  readonly limits: readonly LimitView[];
}

export interface PoliciesOptions {
  readonly clock: Clock;
  readonly admission: Admission<Work>;
  readonly retryBudget: RetryBudget;
  readonly loadShedding: LoadShedding;
  readonly latency: Latency;
  /** Undefined where nothing is limited. */
  readonly limits: RateLimits<Work> | undefined;
  /** Something may begin that could not before. */
  changed(): void;
  /** Load shedding was ended by hand. */
  sheddingChanged(): void;
}

export class Policies {
  readonly #options: PoliciesOptions;

  constructor(options: PoliciesOptions) {
    this.#options = options;
  }

  view(): PoliciesView {
    const { admission, retryBudget, loadShedding, latency, clock, limits } = this.#options;
    const nowMs = clock.monotonicMs();
    const dependencies = admission.names.map((dependency) => ({
      dependency,
      bulkhead: this.#bulkhead(dependency).view(),
      circuit: this.#circuit(dependency).view(nowMs),
      ...adaptiveView(admission.adaptive(dependency)),
    }));
    return {
      dependencies,
      retryBudget: retryBudget.view(nowMs),
      loadShedding: loadShedding.view(),
      latency: latency.view(),
      limits: limits?.view(nowMs) ?? [],
    };
  }

  /** Opens a dependency's circuit for its reset time. */
  openCircuit(dependency: string): void {
    this.#circuit(dependency).open(this.#options.clock.monotonicMs());
    this.#changed();
  }

  closeCircuit(dependency: string): void {
    this.#circuit(dependency).close();
    this.#changed();
  }

  /** Keeps a dependency's circuit open until it is closed by hand. */
  isolateCircuit(dependency: string): void {
    this.#circuit(dependency).isolate();
    this.#changed();
  }

  /** Other bounds for a concurrency that is adaptive. */
  changeConcurrency(dependency: string, changes: Partial<Omit<ConcurrencyPolicy, "mode">>): void {
    const bulkhead = this.#bulkhead(dependency);
    const adaptive = this.#options.admission.adaptive(dependency);
    if (adaptive === undefined) throw new RangeError(`expected the concurrency of '${dependency}' to be adaptive, found that it is not`);
    const { policy } = adaptive.view();
    adaptive.change({ ...policy, ...checkChanges(["dependencies", dependency, "concurrency"], concurrencySchema, { ...policy, ...changes }) });
    bulkhead.widen(adaptive.limit);
    this.#changed();
  }

  /**
   * Runs that have slots keep them, and those that wait keep their places, also where there are fewer now. Throws `RangeError` for
   * what the configuration would refuse, and for a `concurrentMax` that is adaptive, and changes nothing then.
   */
  changeBulkhead(dependency: string, changes: Partial<BulkheadPolicy>): void {
    if (changes.concurrentMax !== undefined && this.#options.admission.adaptive(dependency) !== undefined) {
      throw new RangeError(`expected no concurrentMax for '${dependency}', whose concurrency is adaptive; change the bounds of that`);
    }
    this.#bulkhead(dependency).change(checkChanges(["dependencies", dependency, "bulkhead"], bulkheadChanges, changes));
    this.#changed();
  }

  /** Changes the limit of a dependency that counts by this, or the one of all together. Each worker of a pool has its own say: change all of them. */
  changeLimit(dependency: string, by: LimitScope | undefined, changes: Omit<LimitPolicy, "by">): void {
    this.#bulkhead(dependency);
    const checked = checkChanges(["dependencies", dependency, "limits"], limitChanges, changes);
    // What is named without a value is unset: it is not limited by that any more.
    const unset = Object.fromEntries(Object.entries(changes).filter(([, value]) => value === undefined));
    if (this.#options.limits?.change(dependency, by, { ...checked, ...unset }) === true) return this.#changed();
    throw new RangeError(`expected '${dependency}' to have a limit ${by === undefined ? "without by" : `by '${by}'`}, found none`);
  }

  /** Throws `RangeError` for what the configuration would refuse, and changes nothing then. */
  changeRetryBudget(changes: Partial<RetryBudgetPolicy>): void {
    const { retryBudget, clock } = this.#options;
    retryBudget.change(checkChanges(["retryBudget"], retryBudgetChanges, changes), clock.monotonicMs());
  }

  /** Switched on, it begins when the worker is found over its bounds; switched off, at once nothing more is shed. Throws `RangeError` as above. */
  changeLoadShedding(changes: Partial<LoadSheddingPolicy>): void {
    const { loadShedding } = this.#options;
    const wasActive = loadShedding.isActive;
    loadShedding.change(checkChanges(["loadShedding"], loadSheddingChanges, changes));
    if (loadShedding.isActive !== wasActive) this.#options.sheddingChanged();
  }

  /** What is known of each skill stays, unless it is switched off. Throws `RangeError` as above. */
  changeLatencyWatch(changes: Partial<LatencyWatchPolicy>): void {
    this.#options.latency.change(checkChanges(["latencyWatch"], latencyWatchChanges, changes));
  }

  #changed(): void {
    this.#options.admission.look(this.#options.clock.monotonicMs());
    this.#options.changed();
  }

  #circuit(dependency: string): Circuit<Work> {
    return this.#options.admission.circuit(dependency) ?? this.#refuse(dependency);
  }

  #bulkhead(dependency: string): Bulkhead<Work> {
    return this.#options.admission.bulkhead(dependency) ?? this.#refuse(dependency);
  }

  #refuse(dependency: string): never {
    throw new RangeError(`expected a dependency of this worker (${this.#options.admission.names.join(", ") || "none"}), got '${dependency}'`);
  }
}

function adaptiveView(adaptive: AdaptiveLimit | undefined): { readonly adaptive?: AdaptiveView } {
  return adaptive === undefined ? {} : { adaptive: adaptive.view() };
}
