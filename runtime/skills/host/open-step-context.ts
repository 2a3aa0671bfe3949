import type { EventEnvelope } from "../../core/event-envelope.ts";
import type { EmitOptions, SkillContext, SkillLog, StepContext } from "../author/context.ts";
import type { Dependency } from "../author/define-dependency.ts";

/** What a step's effect is given: its run, under the step's own key. */
export class OpenStepContext implements StepContext<never> {
  readonly idempotencyKey: string;
  readonly #run: SkillContext<never>;

  constructor(run: SkillContext<never>, idempotencyKey: string) {
    this.#run = run;
    this.idempotencyKey = idempotencyKey;
  }

  get event(): EventEnvelope<never> {
    return this.#run.event;
  }

  get signal(): AbortSignal {
    return this.#run.signal;
  }

  get log(): SkillLog {
    return this.#run.log;
  }

  get attempt(): number {
    return this.#run.attempt;
  }

  call<Request, Response>(dependency: Dependency<Request, Response>, request: Request): Promise<Response> {
    return this.#run.call(dependency, request);
  }

  emit(eventType: string, payload: unknown, options?: EmitOptions): void {
    this.#run.emit(eventType, payload, options);
  }
}
