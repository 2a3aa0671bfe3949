/**
 * Runs of critical skills that fail for good: before they are dead-lettered, their failure is put on record, and they run once
 * more to have their steps compensated. Whoever claims such a run later sees the record, and goes on with compensating.
 */
import type { Clock } from "../core/clock.ts";
import { encodeVerdict, type Verdict } from "../core/compensation.ts";
import type { Settlement } from "../core/settlement.ts";
import type { WriteResult } from "../ports/run-store.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import { eachAlone } from "./each-alone.ts";
import { GroupCommit } from "./group-commit.ts";
import type { HandOver } from "./hand-over.ts";
import type { Source } from "./source.ts";
import type { StoreGate } from "./store-gate.ts";
import type { Work } from "./work.ts";

export interface SagasOptions {
  readonly clock: Clock;
  readonly source: Source;
  readonly gate: StoreGate;
  readonly telemetry: Telemetry;
  readonly handOver: HandOver;
  /** Starts it once more. */
  compensate(work: Work): void;
  /** The store refuses it, or stayed down. */
  handBack(work: Work): void;
  /** Another worker has it. */
  drop(work: Work): void;
  broken(work: Work, error: unknown): void;
}

interface Failed {
  readonly work: Work;
  readonly verdict: Verdict;
}

export class Sagas {
  readonly #options: SagasOptions;
  readonly #verdicts: GroupCommit<Failed, readonly WriteResult[]>;

  constructor(options: SagasOptions) {
    const { clock, gate, source } = options;
    const { store } = source;
    this.#options = options;
    this.#verdicts = new GroupCommit({
      clock,
      gate,
      write: (items) => store.checkpoint(items.map(({ work, verdict }) => ({ eventId: work.eventId, epoch: work.epoch, step: encodeVerdict(verdict) }))),
      written: (items, results) => this.#written(items, results),
      abandoned: (items) => items.forEach(({ work }) => options.handBack(work)),
    });
  }

  /** Whether it is compensated first. A parked run may yet go on, and one without steps has done nothing. */
  takes(work: Work, { state, reason, description, cause }: Extract<Settlement, { kind: "dead-letter" }>): boolean {
    if (work.skill?.critical !== true || work.epoch === 0 || work.verdict !== undefined || state !== "dead" || work.steps.length === 0) return false;
    work.hasFailed = true;
    work.failedCalls = work.calls;
    const failed: Failed = { work, verdict: { reason, description, cause, failures: work.attempts, losses: work.losses + work.lossesHere } };
    const kept = this.#options.handOver.keep(work);
    if (kept === undefined) this.#verdicts.add(failed);
    // Where the queue cannot be asked, the message alone carries the compensations on.
    else void kept.then(() => this.#verdicts.add(failed));
    return true;
  }

  #written(items: readonly Failed[], results: readonly WriteResult[]): void {
    const options = this.#options;
    const begin = ({ work, verdict }: Failed, index: number): void => {
      if ((results[index] ?? "stale") === "stale") return options.drop(work);
      const { eventId, skillName: skill, attempt } = work;
      options.telemetry.emit({ type: "run.compensating", eventId, skill, attempt, reason: verdict.reason, steps: work.steps.length }, work);
      work.recordStep(encodeVerdict(verdict));
      work.verdict = verdict;
      options.compensate(work);
    };
    eachAlone(items, begin, ({ work }, error) => options.broken(work, error));
  }
}
