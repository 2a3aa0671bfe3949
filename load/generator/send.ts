import type { Clock } from "#runtime/core/clock.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { messageOf } from "#runtime/core/errors.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";

/** What the sender looks at of a generated message. */
export interface Sendable {
  readonly message: OutgoingMessage;
  readonly kind: "first" | "duplicate" | "poison";
}

export interface SenderOptions {
  /** Started; the sender does not stop it. */
  readonly publisher: Publisher;
  /** The queue or topic. */
  readonly entity: string;
  readonly clock: Pick<Clock, "after">;
  /** Sends at once; default 4. */
  readonly inFlightMax?: number;
  /** Messages in one send; default 64. */
  readonly batchMessagesMax?: number;
  /** Body bytes in one send, unless one message has more; default 512 KiB. */
  readonly batchBytesMax?: number;
  /** Tries of one send; default 5. */
  readonly attemptsMax?: number;
  /** Pause before the second try, doubled each time; default 100. */
  readonly baseDelayMs?: number;
  /** Called when a send has failed at every try. */
  readonly onFailure?: () => void;
}

/** What became of a stream. */
export interface SendReport {
  /** Messages whose sending the broker confirmed. */
  readonly accepted: Readonly<Record<Sendable["kind"], number>>;
  /** Sends that were tried again: the broker may hold some of their messages twice, under the same ids. */
  readonly sendsRepeated: number;
  /** Messages that may or may not have arrived: their send failed at every try. Nothing is sent after that. */
  readonly unconfirmed: number;
  /** Why it stopped before the end, if it did. */
  readonly failure: string | undefined;
}

const defaults = { inFlightMax: 4, batchMessagesMax: 64, batchBytesMax: 512 * 1024, attemptsMax: 5, baseDelayMs: 100, onFailure: (): void => undefined };

/** Sends generated messages in batches, a bounded number of them at once, and counts what the broker confirmed. */
export class Sender {
  readonly #options: Required<SenderOptions>;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #accepted = { first: 0, duplicate: 0, poison: 0 };
  #batch: Sendable[] = [];
  #batchBytes = 0;
  #sendsRepeated = 0;
  #unconfirmed = 0;
  #failure: string | undefined;

  constructor(options: SenderOptions) {
    this.#options = { ...defaults, ...options };
  }

  /** Messages confirmed so far. */
  get accepted(): number {
    return this.#accepted.first + this.#accepted.duplicate + this.#accepted.poison;
  }

  /** Of these, the events that are good and new. */
  get acceptedEvents(): number {
    return this.#accepted.first;
  }

  /** False once a send has failed at every try. */
  get isSending(): boolean {
    return this.#failure === undefined;
  }

  /** Puts messages into batches and begins the sends that are full; resolves when there is room for more. */
  async add(messages: Iterable<Sendable>): Promise<void> {
    const { batchMessagesMax, batchBytesMax } = this.#options;
    for (const generated of messages) {
      const bytes = generated.message.body.byteLength;
      if (this.#batch.length > 0 && (this.#batch.length >= batchMessagesMax || this.#batchBytes + bytes > batchBytesMax)) await this.#begin();
      if (!this.isSending) return;
      this.#batch.push(generated);
      this.#batchBytes += bytes;
    }
  }

  /** Begins to send what has been added, full or not; resolves when there is room for more. For a paced stream. */
  async flush(): Promise<void> {
    if (this.#batch.length > 0) await this.#begin();
  }

  /** Sends the rest, waits for every send, and reports. */
  async finish(): Promise<SendReport> {
    await this.flush();
    await Promise.all(this.#inFlight);
    return { accepted: { ...this.#accepted }, sendsRepeated: this.#sendsRepeated, unconfirmed: this.#unconfirmed, failure: this.#failure };
  }

  async #begin(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    while (this.#inFlight.size >= this.#options.inFlightMax) await Promise.race(this.#inFlight);
    if (!this.isSending) return;
    const sending = this.#send(batch).finally(() => this.#inFlight.delete(sending));
    this.#inFlight.add(sending);
  }

  async #send(batch: readonly Sendable[]): Promise<void> {
    const { publisher, entity, attemptsMax, baseDelayMs } = this.#options;
    const messages = batch.map(({ message }) => message);
    for (let attempt = 1; ; attempt++) {
      try {
        await publisher.send(entity, messages);
        for (const { kind } of batch) this.#accepted[kind]++;
        return;
      } catch (error) {
        if (attempt >= attemptsMax) {
          this.#unconfirmed += batch.length;
          this.#failure ??= messageOf(error);
          this.#options.onFailure();
          return;
        }
        this.#sendsRepeated++;
        await this.#pause(baseDelayMs * 2 ** (attempt - 1));
      }
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(delayMs, resolve);
    });
  }
}

/** Sends a whole stream at full speed. */
export async function sendAll(stream: Iterable<Sendable>, options: SenderOptions): Promise<SendReport> {
  const sender = new Sender(options);
  await sender.add(stream);
  return sender.finish();
}
