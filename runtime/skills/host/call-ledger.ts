import type { CallReport, CallResult, ModelUse } from "../../core/outcome.ts";

const nothingSpent: ModelUse = { inputTokens: 0, outputTokens: 0, cost: 0 };
const severity = { succeeded: 0, slow: 1, failed: 2 } as const satisfies { readonly [result in CallResult]: number };

/** How the calls of one run went, for the circuits of its dependencies: of each the worst counts. */
export class CallLedger {
  readonly #results = new Map<string, CallResult>();
  readonly #inFlight = new Map<string, number>();
  /** How long tries took, where that says how long the dependency takes. */
  #times: Map<string, { calls: number; sumMs: number }> | undefined;
  /** What answers of models said that they took. */
  #spent: Map<string, ModelUse> | undefined;
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

  /** An answer took so much. */
  spent(dependency: string, more: ModelUse): void {
    const { inputTokens, outputTokens, cost } = (this.#spent ??= new Map<string, ModelUse>()).get(dependency) ?? nothingSpent;
    const sum = { inputTokens: inputTokens + more.inputTokens, outputTokens: outputTokens + more.outputTokens, cost: cost + more.cost };
    this.#spent.set(dependency, sum);
  }

  /** What is known; a call that the run's time ran out on has failed. */
  reports(timedOut: boolean): CallReport[] {
    if (timedOut) for (const dependency of this.#inFlight.keys()) this.#results.set(dependency, "failed");
    return Array.from(this.#results, ([dependency, result]) => ({ dependency, result, ...this.#latencyOf(dependency), ...this.#spentOn(dependency) }));
  }

  #spentOn(dependency: string): { readonly spent?: ModelUse } {
    const spent = this.#spent?.get(dependency);
    return spent === undefined ? {} : { spent };
  }

  #latencyOf(dependency: string): { readonly latencyMs?: number } {
    const time = this.#times?.get(dependency);
    return time === undefined ? {} : { latencyMs: time.sumMs / time.calls };
  }
}
