/**
 * Everything that is sent to one entity. Messages of all calls in one turn of the event loop go into the same batches; a
 * bounded number of batches is on its way at once.
 *
 * The SDK puts the annotations of a batch's first message on the batch itself, the scheduled time among them. So messages
 * for later never share a batch with messages for now.
 *
 * The broker takes a batch whole or not at all. When it refuses one for what may be the fault of a single message, each message
 * of it is sent alone.
 */
import type { ServiceBusMessageBatch, ServiceBusSender } from "@azure/service-bus";
import type { Clock } from "../../core/clock.ts";
import type { OutgoingMessage } from "../../core/delivery.ts";
import { messageOf, TransportError } from "../../core/errors.ts";
import { SendCall } from "../support/send-call.ts";
import { isOfMessage, transportErrorOf } from "./errors.ts";
import { batchBytesMax, batchMessagesMax, batchesInFlightMax, messagesWaitingMax } from "./limits.ts";
import { sdkMessageOf } from "./outgoing.ts";

interface Waiting {
  readonly message: OutgoingMessage;
  readonly sending: SendCall;
}

/** Messages that may share a batch, oldest first; read from the front without moving the rest. */
class Line {
  #items: Waiting[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  push(waiting: Waiting): void {
    this.#items.push(waiting);
  }

  peek(): Waiting | undefined {
    return this.#items[this.#first];
  }

  shift(): void {
    this.#first += 1;
    if (this.#first < this.#items.length) return;
    this.#items = [];
    this.#first = 0;
  }

  takeAll(): Waiting[] {
    const all = this.#items.slice(this.#first);
    this.#items = [];
    this.#first = 0;
    return all;
  }
}

export class Outlet {
  readonly #sender: ServiceBusSender;
  readonly #entity: string;
  readonly #clock: Clock;
  readonly #now = new Line();
  readonly #later = new Line();
  /** Of batches that were refused: one of them may be at fault. */
  readonly #suspects = new Line();
  /** The most a batch may hold, once the link has told it. */
  #batchBytes: number | undefined;
  #running: Promise<void> | undefined;
  readonly #inFlight = new Set<Promise<void>>();

  constructor(sender: ServiceBusSender, entity: string, clock: Clock) {
    this.#sender = sender;
    this.#entity = entity;
    this.#clock = clock;
  }

  send(messages: readonly OutgoingMessage[]): Promise<void> {
    if (this.#now.length + this.#later.length + messages.length > messagesWaitingMax) {
      return Promise.reject(
        new TransportError(
          `expected at most ${messagesWaitingMax} messages waiting to be sent to ${this.#entity}, found ${this.#now.length + this.#later.length} and ${messages.length} more; await earlier sends first`,
        ),
      );
    }
    const sending = new SendCall(messages.length);
    for (const message of messages) (message.scheduledAtMs === undefined ? this.#now : this.#later).push({ message, sending });
    this.#running ??= this.#run();
    return sending.whenSent;
  }

  /** Resolves when nothing waits and nothing is on its way. */
  async whenIdle(): Promise<void> {
    while (this.#running !== undefined || this.#inFlight.size > 0) await Promise.all([this.#running, ...this.#inFlight]);
  }

  async #run(): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.soon(resolve));
    for (;;) {
      const line = [this.#suspects, this.#now, this.#later].find(({ length }) => length > 0);
      if (line === undefined) break;
      if (this.#inFlight.size >= batchesInFlightMax) await Promise.race(this.#inFlight);
      else if (line === this.#suspects) this.#sendAlone(line);
      else await this.#sendSome(line);
    }
    this.#running = undefined;
  }

  /** Starts to send one batch from the front of the line, or one message that is too large for a batch. */
  async #sendSome(line: Line): Promise<void> {
    let batch: ServiceBusMessageBatch;
    try {
      batch = await this.#newBatch();
    } catch (error) {
      // No link, so nothing that waits can be sent.
      this.#fail(line.takeAll(), error);
      return;
    }
    const taken: Waiting[] = [];
    for (let next = line.peek(); next !== undefined && taken.length < batchMessagesMax; next = line.peek()) {
      const added = this.#addTo(batch, next);
      if (added === "no room") break;
      line.shift();
      if (added) taken.push(next);
    }
    if (taken.length > 0) this.#track(taken, this.#sender.sendMessages(batch));
    else this.#sendAlone(line);
  }

  /** False when the message cannot be encoded; its sender has been told. */
  #addTo(batch: ServiceBusMessageBatch, waiting: Waiting): boolean | "no room" {
    try {
      return batch.tryAddMessage(sdkMessageOf(waiting.message)) || "no room";
    } catch (cause) {
      const { message, sending } = waiting;
      const error = `expected message '${message.messageId}' to ${this.#entity} to be one that can be encoded, found ${messageOf(cause)}; correct its ids and headers`;
      sending.failed(message, new TransportError(error, { cause, isPermanent: true }));
      return false;
    }
  }

  #sendAlone(line: Line): void {
    const next = line.peek();
    if (next === undefined) return;
    line.shift();
    this.#track([next], this.#sender.sendMessages(sdkMessageOf(next.message)));
  }

  async #newBatch(): Promise<ServiceBusMessageBatch> {
    if (this.#batchBytes === undefined) {
      const batch = await this.#sender.createMessageBatch();
      // A link may take single messages that are larger than any batch may be.
      this.#batchBytes = Math.min(batchBytesMax, batch.maxSizeInBytes);
    }
    return this.#sender.createMessageBatch({ maxSizeInBytes: this.#batchBytes });
  }

  #track(taken: readonly Waiting[], sent: Promise<void>): void {
    const answered = sent.then(
      () => {
        for (const { sending } of taken) sending.sent();
      },
      (error: unknown) => this.#refused(taken, error),
    );
    const tracked: Promise<void> = answered.finally(() => this.#inFlight.delete(tracked));
    this.#inFlight.add(tracked);
  }

  #refused(taken: readonly Waiting[], error: unknown): void {
    if (taken.length === 1 || !isOfMessage(error)) {
      this.#fail(taken, error);
      return;
    }
    for (const waiting of taken) this.#suspects.push(waiting);
    this.#running ??= this.#run();
  }

  #fail(taken: readonly Waiting[], error: unknown): void {
    const failure = transportErrorOf(`to send ${taken.length} messages to ${this.#entity}`, error);
    for (const { message, sending } of taken) sending.failed(message, failure);
  }
}
