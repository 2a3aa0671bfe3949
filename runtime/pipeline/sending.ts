import type { Clock, Timer } from "../core/clock.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import { TransportError } from "../core/errors.ts";
import type { Publisher } from "../ports/publisher.ts";

export const sendAttemptsMax = 4;
const sendPauseFirstMs = 100;
export const sendPauseMaxMs = 10_000;

const none: ReadonlySet<OutgoingMessage> = new Set();

/** Sends through a publisher that may fail, a bounded number of times. */
export class Sending {
  readonly #publisher: Publisher;
  readonly #clock: Clock;
  readonly #failed: (entity: string, messages: number, error: Error) => void;
  /** Pauses between two attempts, and what ends each at once. */
  readonly #pauses = new Map<Timer, () => void>();
  #isStopped = false;

  /** `failed` hears of messages that were not taken at the last attempt. */
  constructor(publisher: Publisher, clock: Clock, failed: (entity: string, messages: number, error: Error) => void) {
    this.#publisher = publisher;
    this.#clock = clock;
    this.#failed = failed;
  }

  /**
   * Resolves with the messages that the broker did not take. The last attempt sends each message by itself, so that one that
   * can never be sent does not keep the others.
   */
  async send(entity: string, messages: readonly OutgoingMessage[]): Promise<ReadonlySet<OutgoingMessage>> {
    for (let attempt = 1; attempt < sendAttemptsMax; attempt += 1) {
      const error = await this.#try(entity, messages);
      if (error === undefined) return none;
      if (this.#isStopped) return new Set(messages);
      const asked = error instanceof TransportError ? error.retryAfterMs : undefined;
      await this.#pause(Math.min(sendPauseMaxMs, asked ?? sendPauseFirstMs * 2 ** (attempt - 1)));
    }
    const errors = await Promise.all(messages.map((message) => this.#try(entity, [message])));
    const unsent = messages.filter((_, index) => errors[index] !== undefined);
    const error = errors.find((found) => found !== undefined);
    if (error !== undefined) this.#failed(entity, unsent.length, error);
    return new Set(unsent);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Ends every pause: what is then refused once more is given up. */
  stop(): void {
    this.#isStopped = true;
    for (const [timer, end] of this.#pauses) {
      timer.cancel();
      end();
    }
    this.#pauses.clear();
  }

  async #try(entity: string, messages: readonly OutgoingMessage[]): Promise<Error | undefined> {
    try {
      await this.#publisher.send(entity, messages);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new TransportError(String(error));
    }
  }

  #pause(pauseMs: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.after(pauseMs, () => {
        this.#pauses.delete(timer);
        resolve();
      });
      this.#pauses.set(timer, resolve);
    });
  }
}
