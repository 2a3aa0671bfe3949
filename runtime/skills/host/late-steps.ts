/**
 * Steps of a run that have ended and need not be on record before the run goes on, for to repeat them does no harm. They are recorded
 * with the run's end, before an effect that may not be repeated, or a few milliseconds after they have ended.
 */
import type { RunAnswer } from "../../core/outcome.ts";
import type { StepRecord } from "../../core/run.ts";
import type { StepAcknowledgement } from "../../ports/executor.ts";

type Written = StepAcknowledgement["result"];

/** Results of a run that may wait together; what is more is recorded at once. */
const bytesMax = 16_384;
/** How long after it has ended a step may wait. */
const lateMs = 20;

/** Sees to it that they are on their way in time. */
interface Keeper {
  nowMs(): number;
  readonly late: { add(steps: LateSteps): void; delete(steps: LateSteps): void };
}

export class LateSteps {
  /** When those that wait are to be on their way, monotonic. */
  deadlineMs = 0;
  readonly #host: Keeper;
  readonly #write: (step: StepRecord) => Promise<Written>;
  #waiting: StepRecord[] = [];
  /** Those on their way, in their order. */
  readonly #sent = new Map<StepRecord, Promise<Written>>();
  #bytes = 0;
  #isStale = false;

  constructor(host: Keeper, write: (step: StepRecord) => Promise<Written>) {
    this.#host = host;
    this.#write = write;
  }

  /** False where it is too much: then the step is not kept. */
  keep(step: StepRecord): boolean {
    if (this.#bytes + step.result.byteLength > bytesMax) return false;
    this.#bytes += step.result.byteLength;
    this.#waiting.push(step);
    if (this.#waiting.length === 1) {
      this.deadlineMs = this.#host.nowMs() + lateMs;
      this.#host.late.add(this);
    }
    return true;
  }

  /** All of them are on their way from now on. */
  send(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.#host.late.delete(this);
    for (const step of waiting) this.#sent.set(step, this.#send(step));
  }

  /** Resolves when all are on record, or with an answer that says otherwise. Undefined where there are none. */
  record(): Promise<Written> | undefined {
    this.send();
    if (this.#isStale) return Promise.resolve("stale");
    return this.#sent.size === 0 ? undefined : Promise.all(this.#sent.values()).then((results) => results.find((result) => result !== "written") ?? "written");
  }

  /** The run has ended. Returns what is not known to be on record; undefined where there is nothing. */
  end(): readonly StepRecord[] | undefined {
    this.#host.late.delete(this);
    return this.#sent.size + this.#waiting.length === 0 ? undefined : [...this.#sent.keys(), ...this.#waiting];
  }

  /** What was not written is given up: whoever waits hears of it. */
  async #send(step: StepRecord): Promise<Written> {
    const result = await this.#write(step);
    if (result === "stale") this.#isStale = true;
    this.#sent.delete(step);
    this.#bytes -= step.result.byteLength;
    return result;
  }
}

/** A run that completes has them recorded with its end. */
export function withLate(answer: RunAnswer, late: LateSteps | undefined): RunAnswer {
  const steps = late?.end();
  return steps === undefined || answer.kind !== "completed" ? answer : { ...answer, steps };
}
