/**
 * Steps of a run that have ended and need not be on record before the run goes on, for to repeat them does no harm. They are recorded
 * with the run's end, before an effect that may not be repeated, or a few milliseconds after they have ended.
 */
import { noFraction } from "../../core/fractions.ts";
import type { RunAnswer } from "../../core/outcome.ts";
import type { StepRecord } from "../../core/run.ts";
import type { StepAcknowledgement } from "../../ports/executor.ts";

type Written = StepAcknowledgement["result"];

/** What may wait together of a run; what is more is recorded at once. Even the smallest steps are so few that a store takes them in one write. */
const bytesMax = 16_384;
/** Of a step beside its result. */
const stepBytes = 64;
/**
 * How long after it has ended a step may wait; and how long it may take: the record of a longer one, which costs little beside it, is waited for,
 * so that it is not done again, and a run that was called off ends behind it.
 */
export const lateMs = 20;

/** Sees to it that they are on their way in time. */
interface Keeper {
  nowMs(): number;
  readonly late: { add(steps: LateSteps): void; delete(steps: LateSteps): void };
}

interface Writer<Run> {
  writeStep(run: Run, step: StepRecord): Promise<Written>;
}

interface LateStep {
  readonly record: StepRecord;
  /** Undefined while it is not on its way. */
  written: Promise<Written> | undefined;
}

export class LateSteps {
  /** When those that wait are to be on their way, monotonic. */
  deadlineMs: number = noFraction;
  /** For `Deadlines`. */
  place = -1;
  readonly #host: Keeper;
  readonly #write: (step: StepRecord) => Promise<Written>;
  /** What is not known to be on record, in its order. */
  readonly #steps: LateStep[] = [];
  #isTimed = false;
  #bytes = 0;
  #isStale = false;

  static of<Run extends { readonly host: Keeper & Writer<Run> }>(run: Run): LateSteps {
    return new LateSteps(run.host, (step) => run.host.writeStep(run, step));
  }

  private constructor(host: Keeper, write: (step: StepRecord) => Promise<Written>) {
    this.#host = host;
    this.#write = write;
  }

  /** False where it is too much: then the step is not kept. */
  keep(record: StepRecord): boolean {
    const bytes = this.#bytes + bytesOf(record);
    if (bytes > bytesMax) return false;
    this.#bytes = bytes;
    this.#steps.push({ record, written: undefined });
    if (!this.#isTimed) {
      this.#isTimed = true;
      this.deadlineMs = this.#host.nowMs() + lateMs;
      this.#host.late.add(this);
    }
    return true;
  }

  /** All of them are on their way from now on. */
  send(): void {
    this.#rest();
    for (const step of this.#steps) step.written ??= this.#send(step);
  }

  /** Resolves when all are on record, or with an answer that says otherwise. Undefined where there are none. */
  record(): Promise<Written> | undefined {
    this.send();
    if (this.#isStale) return Promise.resolve("stale");
    if (this.#steps.length === 0) return undefined;
    return Promise.all(Array.from(this.#steps, async ({ written }) => written)).then((results) => results.find((result) => result !== "written") ?? "written");
  }

  /** The run has ended. Returns what is not known to be on record; undefined where there is nothing. */
  end(): readonly StepRecord[] | undefined {
    this.#rest();
    return this.#steps.length === 0 ? undefined : this.#steps.map(({ record }) => record);
  }

  #rest(): void {
    if (!this.#isTimed) return;
    this.#isTimed = false;
    this.#host.late.delete(this);
  }

  /** Whoever waits hears of what was not written. It goes with those that come after it, for nothing else may begin before it is on record. */
  async #send(step: LateStep): Promise<Written> {
    const result = await this.#write(step.record);
    if (result === "stale") this.#isStale = true;
    if (result === "unavailable") step.written = undefined;
    else {
      this.#steps.splice(this.#steps.indexOf(step), 1);
      this.#bytes -= bytesOf(step.record);
    }
    return result;
  }
}

function bytesOf({ name, result }: StepRecord): number {
  return stepBytes + name.length + result.byteLength;
}

/** The run waits until that is on record; where there is nothing, it does not. */
export async function waitForRecord<Recorded extends Written | undefined>(
  run: { recordingMs: number; recording: number; nowMs(): number },
  recorded: Promise<Recorded> | undefined,
): Promise<Recorded | undefined> {
  if (recorded === undefined) return undefined;
  const sinceMs = run.nowMs();
  run.recording += 1;
  const result = await recorded;
  run.recording -= 1;
  run.recordingMs += run.nowMs() - sinceMs;
  return result;
}

/** A run that completes has them recorded with its end. */
export function withLate(answer: RunAnswer, late: LateSteps | undefined): RunAnswer {
  const steps = late?.end();
  return steps === undefined || answer.kind !== "completed" ? answer : { ...answer, steps };
}
