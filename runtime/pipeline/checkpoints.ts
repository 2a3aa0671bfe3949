/** Writes the steps of runs to the store, in group commits; a run hears when its step is durable. */
import type { Clock } from "../core/clock.ts";
import { compensationEnded } from "../core/compensation.ts";
import { messageOf } from "../core/errors.ts";
import type { FellBack } from "../core/outcome.ts";
import type { Executor, StepAcknowledgement, StepRequest } from "../ports/executor.ts";
import type { WriteResult } from "../ports/run-store.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import { eachAlone } from "./each-alone.ts";
import { GroupCommit } from "./group-commit.ts";
import type { InFlight } from "./in-flight.ts";
import { ofSource, type Source } from "./source.ts";
import type { StoreGate } from "./store-gate.ts";
import type { Work } from "./work.ts";

export interface CheckpointsOptions {
  readonly clock: Clock;
  readonly sources: readonly Source[];
  readonly gate: StoreGate;
  readonly executor: Executor;
  readonly inFlight: InFlight;
  readonly telemetry: Telemetry;
}

interface Checkpoint {
  readonly work: Work;
  readonly request: StepRequest;
}

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  /** By source. */
  readonly #writes: readonly GroupCommit<Checkpoint, readonly WriteResult[]>[];

  constructor(options: CheckpointsOptions) {
    const { clock, sources, gate } = options;
    this.#options = options;
    this.#writes = sources.map(
      ({ store }) =>
        new GroupCommit({
          clock,
          gate,
          callsMax: store.callsAtOnce,
          write: (items) => store.checkpoint(items.map(({ work, request }) => ({ eventId: work.eventId, epoch: work.epoch, step: request.step }))),
          written: (items, results) => this.#written(items, results),
          abandoned: (items) => this.#ended(items, () => "unavailable"),
        }),
    );
  }

  /** A step of an execution that has ended meanwhile is refused: the run may already be executing again. */
  write(requests: readonly StepRequest[]): void {
    const refused: StepAcknowledgement[] = [];
    for (const request of requests) {
      const work = this.#options.inFlight.get(request.runId);
      if (work === undefined || work.stage !== "executing") {
        refused.push(acknowledgement(request, "stale"));
        continue;
      }
      work.stepsPending += 1;
      work.records += 1;
      work.holdsMore(request.step.result.byteLength);
      ofSource(this.#writes, work.source).add({ work, request });
    }
    if (refused.length > 0) this.#options.executor.acknowledge(refused);
  }

  /** A run that is called off hears of it before it hears that its step is recorded, so that it begins no other one. */
  #written(items: readonly Checkpoint[], results: readonly WriteResult[]): void {
    const cancelled = items.filter(({ request }, index) => results[index] === "cancelling" && request.step.state === "completed");
    if (cancelled.length > 0)
      this.#options.executor.interrupt(
        cancelled.map(({ request }) => request.runId),
        "interrupted",
      );
    this.#ended(items, (index) => {
      const result = results[index] ?? "stale";
      return result === "cancelling" ? "written" : result;
    });
  }

  /** Runs go on first: what is reported about a step keeps none of them waiting. */
  #ended(items: readonly Checkpoint[], resultOf: (index: number) => StepAcknowledgement["result"]): void {
    let telling: Checkpoint[] | undefined;
    const acknowledgements = items.map((item, index) => {
      const { work, request } = item;
      const result = resultOf(index);
      work.stepsPending -= 1;
      if (result === "written") {
        work.recordStep(request.step);
        if (work.verdict !== undefined || request.fellBack !== undefined) (telling ??= []).push(item);
      } else {
        work.holdsMore(-request.step.result.byteLength);
      }
      return acknowledgement(request, result);
    });
    this.#options.executor.acknowledge(acknowledgements);
    if (telling !== undefined) this.#tell(telling);
  }

  #tell(items: readonly Checkpoint[]): void {
    const tell = ({ work, request }: Checkpoint): void => {
      this.#tellCompensated(work, request);
      if (request.fellBack !== undefined) this.#tellFellBack(work, request.step.name, request.fellBack);
    };
    eachAlone(items, tell, ({ work }, error) => {
      this.#options.telemetry.emit({ type: "message.broken", eventId: work.eventId, stage: work.stage, error: messageOf(error) }, work);
    });
  }

  #tellCompensated(work: Work, { step }: StepRequest): void {
    const ended = work.verdict === undefined ? undefined : compensationEnded(step);
    if (ended === undefined) return;
    this.#options.telemetry.emit({ type: "step.compensated", eventId: work.eventId, skill: work.skillName, attempt: work.attempt, ...ended }, work);
  }

  #tellFellBack(work: Work, step: string, fellBack: FellBack): void {
    this.#options.telemetry.emit({ type: "step.fell-back", eventId: work.eventId, skill: work.skillName, attempt: work.attempt, step, ...fellBack }, work);
  }
}

function acknowledgement(request: StepRequest, result: StepAcknowledgement["result"]): StepAcknowledgement {
  return { runId: request.runId, requestId: request.requestId, result };
}
