import type { Clock, Timer } from "../core/clock.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import { messageOf, SendError, TransportError } from "../core/errors.ts";
import type { Publisher } from "../ports/publisher.ts";

export const sendAttemptsMax = 4;
const sendPauseFirstMs = 100;
export const sendPauseMaxMs = 10_000;

/** Messages that the broker did not take, or may not have, each with the reason. */
export type Unsent = ReadonlyMap<OutgoingMessage, TransportError>;

const none: Unsent = new Map();

/** What was thrown for all that was sent says of none of several that it can never be sent. Whatever is no `TransportError` is a defect that the one message brings out. */
function asTransportError(thrown: unknown, isOfOne: boolean): TransportError {
  const known = thrown instanceof TransportError ? thrown : new TransportError(messageOf(thrown), { cause: thrown, isPermanent: true });
  if (isOfOne || !known.isPermanent) return known;
  return new TransportError(known.message, { cause: thrown, retryAfterMs: known.retryAfterMs });
}

/** Sends through a publisher that may fail, a bounded number of times. */
export class Sending {
  readonly #publisher: Publisher;
  readonly #clock: Clock;
  readonly #failed: (entity: string, messages: number, error: Error) => void;
  /** Pauses between two attempts, and what ends each at once. */
  readonly #pauses = new Map<Timer, () => void>();
  #isStopped = false;

  /** `failed` gets messages that were not taken at the last attempt. */
  constructor(publisher: Publisher, clock: Clock, failed: (entity: string, messages: number, error: Error) => void) {
    this.#publisher = publisher;
    this.#clock = clock;
    this.#failed = failed;
  }

  /**
   * Resolves with the messages that the broker did not take, each with the last word on why. Only what failed is sent again; what
   * is said twice never to be sendable is believed. The last attempt sends each message by itself: a publisher that gave no
   * word on each may have kept all for one.
   */
  async send(entity: string, messages: readonly OutgoingMessage[]): Promise<Unsent> {
    const unsent = new Map<OutgoingMessage, TransportError>();
    let left = messages;
    let before: Unsent = unsent;
    for (let attempt = 1; ; attempt += 1) {
      const isLast = attempt === sendAttemptsMax || this.#isStopped;
      const failed = attempt === sendAttemptsMax ? await this.#tryEach(entity, left) : await this.#try(entity, left);
      if (failed.size === 0) break;
      const again: OutgoingMessage[] = [];
      for (const message of left) {
        const error = failed.get(message);
        if (error === undefined) continue;
        if (isLast || this.#isStopped || (error.isPermanent && before.get(message)?.isPermanent === true)) unsent.set(message, error);
        else again.push(message);
      }
      if (again.length === 0) break;
      left = again;
      before = failed;
      const askedMs = Math.max(0, ...Array.from(failed.values(), ({ retryAfterMs = 0 }) => retryAfterMs));
      await this.#pause(Math.min(sendPauseMaxMs, askedMs > 0 ? askedMs : sendPauseFirstMs * 2 ** (attempt - 1)));
    }
    const [error] = unsent.values();
    if (error !== undefined && !this.#isStopped) this.#failed(entity, unsent.size, error);
    return unsent;
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

  async #tryEach(entity: string, messages: readonly OutgoingMessage[]): Promise<Unsent> {
    const failed = await Promise.all(messages.map((message) => this.#try(entity, [message])));
    return new Map(failed.flatMap((one) => [...one]));
  }

  async #try(entity: string, messages: readonly OutgoingMessage[]): Promise<Unsent> {
    try {
      await this.#publisher.send(entity, messages);
      return none;
    } catch (thrown) {
      if (thrown instanceof SendError) return thrown.failed;
      const error = asTransportError(thrown, messages.length === 1);
      return new Map(messages.map((message) => [message, error]));
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
