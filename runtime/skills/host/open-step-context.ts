import type { EventOf } from "../author/event-contracts.ts";
import type { StepQuality } from "../../core/run.ts";
import type { SkillMessage } from "../../core/skill-message.ts";
import type { CallOptions, EmitOptions, ReplyOptions, SkillLog, StepContext } from "../author/context.ts";
import type { Dependency } from "../author/define-dependency.ts";
import type { Resource } from "../author/define-resource.ts";
import type { SettingsReader } from "../author/define-settings.ts";
import { PermanentError } from "../author/errors.ts";

/** What a step's effect, or one of its fallbacks, is given: its run, under a key of its own. */
export class OpenStepContext implements StepContext<never> {
  readonly #keyed: Pick<StepContext<never>, "idempotencyKey">;
  readonly #run: Omit<StepContext<never>, "idempotencyKey">;
  #isClosed = false;
  #controller: AbortController | undefined;

  constructor(run: Omit<StepContext<never>, "idempotencyKey">, keyed: Pick<StepContext<never>, "idempotencyKey">) {
    this.#run = run;
    this.#keyed = keyed;
  }

  get idempotencyKey(): string {
    return this.#keyed.idempotencyKey;
  }

  get event(): EventOf<never> {
    return this.#run.event;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#isClosed) this.#controller.abort(closed());
    return AbortSignal.any([this.#run.signal, this.#controller.signal]);
  }

  get log(): SkillLog {
    return this.#run.log;
  }

  get attempt(): number {
    return this.#run.attempt;
  }

  isOn(flag: string): boolean {
    return this.#run.isOn(flag);
  }

  qualityOf(step: string): StepQuality {
    return this.#run.qualityOf(step);
  }

  call<Request, Response>(dependency: Dependency<Request, Response>, request: Request, options?: CallOptions<Response>): Promise<Response> {
    if (this.#isClosed) return Promise.reject(closed());
    return this.#run.call(dependency, request, options);
  }

  use<Value>(resource: Resource<Value>): Promise<Value> {
    return this.#run.use(resource);
  }

  get settings(): SettingsReader["settings"] {
    return this.#run.settings;
  }

  emit(eventType: string, payload: unknown, options?: EmitOptions): void {
    if (this.#isClosed) throw closed();
    this.#run.emit(eventType, payload, options);
  }

  async message(): Promise<SkillMessage> {
    return this.#run.message();
  }

  async reply(payload: unknown, options?: ReplyOptions): Promise<void> {
    if (this.#isClosed) throw closed();
    await this.#run.reply(payload, options);
  }

  /** Another answer has taken its place. */
  close(): void {
    this.#isClosed = true;
    this.#controller?.abort(closed());
  }
}

function closed(): PermanentError {
  return new PermanentError("expected no call and no event after a fallback has taken over, got one; wait for what you begin", { code: "STEP_GIVEN_UP" });
}
