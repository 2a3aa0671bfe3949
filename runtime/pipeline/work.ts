import type { Delivery } from "../core/delivery.ts";
import type { Route } from "../core/event-envelope.ts";
import type { StepRecord } from "../core/run.ts";
import type { SkillPolicy } from "../core/skill.ts";

/**
 * Where a delivery is on its way:
 *
 *   routing → claiming → (held ⇄ claiming) → waiting → executing → (pausing → executing) → recording → settling → gone
 *                └ following another delivery of the same event in this worker
 */
export type Stage = "routing" | "claiming" | "following" | "held" | "waiting" | "executing" | "pausing" | "recording" | "settling" | "gone";

const noUses: readonly number[] = [];
const noSteps: readonly StepRecord[] = [];

/** One delivery on its way through the worker, with all that is known of it. One object a message, reused for every stage. */
export class Work {
  /** Unique on this worker. */
  readonly runId: number;
  readonly delivery: Delivery;
  /** Monotonic. */
  readonly arrivedMs: number;
  /** When the lock surely ends, monotonic; renewing moves it. */
  lockUntilMs: number;
  /** When the lease surely ends, monotonic; 0 while not claimed. */
  leaseUntilMs = 0;
  stage: Stage = "routing";
  route: Route | undefined = undefined;
  contentEncoding: string | undefined = undefined;
  payloadHash = "";
  skill: SkillPolicy | undefined = undefined;
  /** The claim's epoch; 0 while not claimed. */
  epoch = 0;
  /** From the claim; 1 for the first. */
  attempts = 0;
  generation = 0;
  steps: readonly StepRecord[] = noSteps;
  pipelineChanged = false;
  /** Retries in place under this claim. */
  retriesHere = 0;
  /** When it began to wait in a lane, monotonic. */
  waitingSinceMs = 0;
  lockLost = false;
  /** A renewal of its lock is in flight. */
  renewing = false;
  /** Deliveries of the same event that wait for this one to end; undefined while there are none. */
  followers: Work[] | undefined = undefined;

  constructor(runId: number, delivery: Delivery, arrivedMs: number, lockUntilMs: number) {
    this.runId = runId;
    this.delivery = delivery;
    this.arrivedMs = arrivedMs;
    this.lockUntilMs = lockUntilMs;
  }

  get uses(): readonly number[] {
    return this.skill?.uses ?? noUses;
  }

  get eventId(): string {
    return this.route?.eventId ?? this.delivery.messageId;
  }

  get skillName(): string {
    return this.skill?.name ?? "";
  }

  /** Remembers a durable step, so that a retry in place does not run it again. */
  recordStep(step: StepRecord): void {
    this.steps = [...this.steps.filter((known) => known.name !== step.name), step];
  }
}
