import type { CallReport, CallResult } from "../../core/outcome.ts";

const severity = { succeeded: 0, slow: 1, failed: 2 } as const satisfies { readonly [result in CallResult]: number };

/** How the calls of one run went, for the circuits of its dependencies: of each the worst counts. */
export class CallLedger {
  readonly #results = new Map<string, CallResult>();
  readonly #inFlight = new Map<string, number>();
  /** How long tries took, where that says how long the dependency takes. */
  #times: Map<string, { calls: number; sumMs: number }> | undefined;
  /** Calls made outside of steps, by dependency. */
  readonly outside: Map<string, number> = new Map();

  begin(dependency: string): void {
    this.#inFlight.set(dependency, (this.#inFlight.get(dependency) ?? 0) + 1);
  }

  /** Ends a call; undefined says nothing about the dependency. */
  end(dependency: string, result: CallResult | undefined): void {
    const left = (this.#inFlight.get(dependency) ?? 1) - 1;
    if (left === 0) this.#inFlight.delete(dependency);
    else this.#inFlight.set(dependency, left);
    const before = this.#results.get(dependency);
    if (result !== undefined && (before === undefined || severity[result] > severity[before])) this.#results.set(dependency, result);
  }

  /** A try took so long. */
  took(dependency: string, tookMs: number): void {
    this.#times ??= new Map();
    const { calls, sumMs } = this.#times.get(dependency) ?? { calls: 0, sumMs: 0 };
    this.#times.set(dependency, { calls: calls + 1, sumMs: sumMs + tookMs });
  }

  /** What is known; a call that the run's time ran out on has failed. */
  reports(timedOut: boolean): CallReport[] {
    if (timedOut) for (const dependency of this.#inFlight.keys()) this.#results.set(dependency, "failed");
    return Array.from(this.#results, ([dependency, result]) => ({ dependency, result, ...this.#latencyOf(dependency) }));
  }

  #latencyOf(dependency: string): { readonly latencyMs?: number } {
    const time = this.#times?.get(dependency);
    return time === undefined ? {} : { latencyMs: time.sumMs / time.calls };
  }
}
