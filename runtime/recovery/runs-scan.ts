/**
 * Going through all run records without standing in the way of the workers: one bounded call after the other, with a pause after
 * each that is as long as the call took. So a scan takes at most half of what one connection could ask of the store.
 */
import type { Clock } from "../core/clock.ts";
import type { RunState, RunSummary } from "../core/run.ts";
import type { RunRecords } from "../ports/run-records.ts";
import { pause } from "./waiting.ts";

export const allStates: readonly RunState[] = ["running", "waiting", "done", "dead", "parked"];

export interface ScanOptions {
  readonly clock: Pick<Clock, "after" | "monotonicMs">;
  readonly states: readonly RunState[];
  /** Ends it behind the page at hand. */
  readonly signal: AbortSignal;
}

/** Pages of runs in these states. A run may come twice, when records are written meanwhile. */
export async function* scanRuns(records: RunRecords, { clock, states, signal }: ScanOptions): AsyncGenerator<readonly RunSummary[]> {
  let cursor: string | undefined;
  do {
    const beganMs = clock.monotonicMs();
    const page = await records.scan(cursor, states);
    const tookMs = clock.monotonicMs() - beganMs;
    if (page.runs.length > 0) yield page.runs;
    cursor = page.next;
    if (cursor !== undefined) await pause(clock, tookMs, signal);
  } while (cursor !== undefined && !signal.aborted);
}

/** Those of many runs that were written last, each once; bounded, however many there are. The same event in two sources is two runs. */
export class LatestRuns<Run extends RunSummary & { readonly source: string }> {
  readonly #max: number;
  readonly #runs = new Map<string, Run>();
  /** Runs that were added, and those of them in each state. */
  total = 0;
  readonly byState: Map<RunState, number> = new Map<RunState, number>();

  constructor(max: number) {
    this.#max = max;
  }

  add(run: Run): void {
    const key = `${run.source} ${run.eventId}`;
    if (this.#runs.has(key)) return;
    this.total += 1;
    this.byState.set(run.state, (this.byState.get(run.state) ?? 0) + 1);
    this.#runs.set(key, run);
    if (this.#runs.size >= 2 * this.#max + 100) this.#trim();
  }

  /** The last one first. */
  list(): readonly Run[] {
    this.#trim();
    return [...this.#runs.values()];
  }

  #trim(): void {
    const sorted = [...this.#runs.values()].sort((one, other) => one.writtenAgoMs - other.writtenAgoMs);
    this.#runs.clear();
    for (const run of sorted.slice(0, this.#max)) this.#runs.set(`${run.source} ${run.eventId}`, run);
  }
}
