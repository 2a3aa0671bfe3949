/** The message of a run, as its skill sees it, and the skill's answer to it. */
import type { OutgoingMessage } from "../../core/delivery.ts";
import type { EventOf } from "../author/event-contracts.ts";
import type { SkillMessage } from "../../core/skill-message.ts";
import type { ToldRuns } from "../../ports/executor.ts";
import type { EmitOptions, ReplyOptions } from "../author/context.ts";
import { TransientError } from "../author/errors.ts";
import { addressOf, emissionOf, replyNotAwaited } from "./reply.ts";
import { RunEnded, permanently } from "./run-errors.ts";

/** What it needs of the run. */
export interface MessageRun {
  readonly event: EventOf<never>;
  readonly isEnded: boolean;
  /** Name of the step that is open; undefined when none is. */
  readonly openStep: string | undefined;
  /** Throws when the run has ended or may not act any more. */
  checkMayAct(): void;
  ask(about: "message"): Promise<ToldRuns["message"] | undefined>;
  emit(eventType: string, payload: unknown, options: EmitOptions, address: Partial<OutgoingMessage>): void;
}

export class RunMessage {
  readonly #run: MessageRun;
  #known: Promise<SkillMessage | undefined> | undefined;
  #replying = 0;

  constructor(run: MessageRun) {
    this.#run = run;
  }

  /** A reply waits for where it goes. */
  get isReplying(): boolean {
    return this.#replying > 0;
  }

  async read(): Promise<SkillMessage> {
    this.#run.checkMayAct();
    const message = await (this.#known ??= this.#run.ask("message"));
    this.#run.checkMayAct();
    if (message !== undefined) return message;
    this.#known = undefined;
    throw new TransientError("message: expected the worker to tell what the message was, it did not", { code: "MESSAGE_UNAVAILABLE" });
  }

  async reply(payload: unknown, options: ReplyOptions | undefined): Promise<void> {
    const run = this.#run;
    if (run.isEnded) throw new RunEnded();
    const step = run.openStep;
    const { eventType, options: emitted } = permanently("EMIT_INVALID", () => emissionOf(run.event.eventType, options));
    this.#replying += 1;
    try {
      const address = addressOf(await this.read());
      if (run.openStep !== step) throw replyNotAwaited();
      run.emit(eventType, payload, emitted, address);
    } catch (error) {
      // The run has ended, and has said why: nobody waits for this.
      if (!run.isEnded) throw error;
    } finally {
      this.#replying -= 1;
    }
  }
}
