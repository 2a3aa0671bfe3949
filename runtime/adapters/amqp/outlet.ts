/**
 * Everything that is sent to one entity. Messages of all calls in one turn of the event loop go into the same batches; a
 * bounded number of batches is on its way at once. Whatever the broker had not answered when a link broke is sent again, in
 * the same order and with the same ids; callers are notified only when that fails for as long as an answer may take. A
 * throttled namespace is left alone for the pause it asks for.
 *
 * The broker takes a batch whole or not at all. When it refuses one for what may be the fault of a single message, each message
 * of it is sent alone, one after another, so that the one at fault is found and the others arrive.
 */
import type { ErrorCondition } from "../../amqp/message/condition.ts";
import type { DeliveryState } from "../../amqp/message/delivery-state.ts";
import type { LinkEnd } from "../../amqp/link/link.ts";
import type { OutgoingDelivery, Sender } from "../../amqp/link/sender.ts";
import type { Session } from "../../amqp/session/session.ts";
import type { Clock, Timer } from "../../core/clock.ts";
import type { OutgoingMessage } from "../../core/delivery.ts";
import { messageOf, TransportError } from "../../core/errors.ts";
import { SendCall } from "../support/send-call.ts";
import type { BrokerConnection, ConnectionUser, OpenConnection } from "./broker-connection.ts";
import { errorOf, isBusy, isLasting, isOfMessage, isUnauthorized, serverBusy, transportErrorOf } from "./errors.ts";
import { batchBytesMax, batchMessagesMax, batchesInFlightMax, busyPauseMs, messagesWaitingMax, spreadPauseMs } from "./limits.ts";
import { aloneOf, batchFormat, encodeOutgoing } from "./outgoing.ts";

interface Waiting {
  readonly message: OutgoingMessage;
  /** It in a data section, encoded. */
  readonly section: Buffer;
  /** It may be what its batch was refused for: nothing else is on its way with it. */
  readonly isSuspect: boolean;
  readonly sending: SendCall;
}

/** Messages that go out in one transfer. */
interface Batch {
  /** Rising in the order in which batches are sent. */
  readonly number: number;
  readonly items: readonly Waiting[];
  readonly timer: Timer;
}

export interface OutletOptions {
  readonly broker: BrokerConnection;
  readonly address: string;
  readonly clock: Clock;
  readonly answerTimeoutMs: number;
}

export class Outlet implements ConnectionUser {
  readonly #options: OutletOptions;
  /** Read from `#first` on, so that taking from the front moves nothing. */
  #waiting: Waiting[] = [];
  #first = 0;
  readonly #inFlight = new Set<Batch>();
  #batches = 0;
  /** What is on its way is a suspect. */
  #isTryingSuspect = false;
  /** What a throttled namespace did not take; it goes first when the pause is over. */
  #refused: Batch[] = [];
  #pause: Timer | undefined;
  #session: Session | undefined;
  #sender: Sender<Batch> | undefined;
  /** Ends the link when it has taken none of what waits for too long. */
  #stall: Timer | undefined;
  /** Why the link was ended. */
  #fault: TransportError | undefined;
  #isOpening = false;
  #isPumping = false;
  /** Since when nothing could be sent. */
  #failingSinceMs: number | undefined;
  #failures = 0;
  #reopen: Timer | undefined;
  #isStopping = false;
  #idle: (() => void)[] = [];

  constructor(options: OutletOptions) {
    this.#options = options;
    options.broker.join(this);
  }

  get #count(): number {
    return this.#waiting.length - this.#first;
  }

  send(messages: readonly OutgoingMessage[]): Promise<void> {
    const { address, broker } = this.#options;
    if (this.#count + messages.length > messagesWaitingMax) {
      return Promise.reject(
        new TransportError(
          `expected at most ${messagesWaitingMax} messages waiting to be sent to ${address}, found ${this.#count} and ${messages.length} more; await earlier sends first`,
        ),
      );
    }
    const sending = new SendCall(messages.length);
    for (const message of messages) this.#enqueue(message, sending);
    if (this.#count === 0) return sending.whenSent;
    broker.want();
    if (broker.open !== undefined && this.#session === undefined && this.#reopen === undefined) this.opened(broker.open);
    this.#pumpSoon();
    return sending.whenSent;
  }

  #enqueue(message: OutgoingMessage, sending: SendCall): void {
    try {
      this.#waiting.push({ message, section: encodeOutgoing(message), isSuspect: false, sending });
    } catch (cause) {
      const error = `expected message '${message.messageId}' to ${this.#options.address} to be one that can be encoded, found ${messageOf(cause)}; correct its ids and headers`;
      sending.failed(message, new TransportError(error, { cause, isPermanent: true }));
    }
  }

  /** Resolves when nothing waits and nothing is on its way. No pause is waited for: what it keeps back fails. */
  whenIdle(): Promise<void> {
    this.#isStopping = true;
    if (this.#pause !== undefined) this.#failAll(this.#busyError());
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  stop(): void {
    this.#reopen?.cancel();
    this.#pause?.cancel();
    this.#options.broker.leave(this);
  }

  get #isIdle(): boolean {
    return this.#count === 0 && this.#inFlight.size === 0 && this.#refused.length === 0;
  }

  // The connection's user.

  wantsConnection(): boolean {
    return !this.#isIdle;
  }

  opened(connection: OpenConnection): void {
    if (this.#isIdle || this.#isOpening || this.#session !== undefined) return;
    this.#isOpening = true;
    void this.#open(connection);
  }

  closed(error: TransportError): void {
    this.#reopen?.cancel();
    this.#reopen = undefined;
    this.#isOpening = false;
    this.#failed(error);
  }

  async #open(connection: OpenConnection): Promise<void> {
    const { broker, address } = this.#options;
    try {
      await connection.authorize(address);
    } catch (thrown) {
      if (broker.open !== connection) return;
      this.#isOpening = false;
      this.#failed(transportErrorOf(`access to ${address}`, thrown));
      this.#openAgain(connection, spreadPauseMs(this.#failures));
      return;
    }
    if (broker.open !== connection) return;
    this.#isOpening = false;
    try {
      this.#attach(connection);
    } catch (thrown) {
      this.#session?.end();
      this.#session = undefined;
      this.#failed(transportErrorOf(`to send to ${address}`, thrown));
      this.#openAgain(connection, spreadPauseMs(this.#failures));
    }
  }

  /** Throws where the peer has no room for it. */
  #attach(connection: OpenConnection): void {
    const { broker, address } = this.#options;
    this.#session = connection.engine.begin({});
    this.#watchStall();
    this.#sender = this.#session.openSender<Batch>(
      { name: `${address}-${process.pid}`, target: { address }, source: { address: `${address}-${process.pid}` }, senderSettleMode: "unsettled" },
      {
        onAttach: () => broker.proved(),
        onSendable: () => this.#pump(),
        onOutcome: (delivery, state) => this.#onOutcome(delivery, state),
        onDetach: (_sender, end, unsettled) => this.#onDetach(connection, end, unsettled),
      },
    );
  }

  #onDetach(connection: OpenConnection, end: LinkEnd, unsettled: readonly OutgoingDelivery<Batch>[]): void {
    const session = this.#session;
    this.#session = undefined;
    this.#sender = undefined;
    this.#stall?.cancel();
    this.#stall = undefined;
    const error = this.#fault ?? errorOf(`to send to ${this.#options.address}`, end.error, "that the link was detached");
    this.#fault = undefined;
    const batches = unsettled.map(({ context }) => context);
    const areSuspect = isOfMessage(end.error) && batches.length > 0;
    if (areSuspect) this.#suspect(batches, error);
    else this.#putBack(batches);
    if (end.by === "connection") return;
    session?.end();
    if (isUnauthorized(end.error)) connection.refused(this.#options.address);
    if (isLasting(end.error) && !areSuspect) this.#failAll(error);
    else this.#failed(error);
    this.#openAgain(connection, error.retryAfterMs ?? spreadPauseMs(this.#failures));
  }

  /** Opens the link again after a pause, if something waits then; a throttled namespace is not asked before, whatever comes. */
  #openAgain(connection: OpenConnection, pauseMs: number): void {
    if (this.#isIdle && pauseMs < busyPauseMs) return;
    const { broker, clock } = this.#options;
    this.#reopen?.cancel();
    this.#reopen = clock.after(pauseMs, () => {
      this.#reopen = undefined;
      if (broker.open === connection) this.opened(connection);
    });
  }

  /** Batches that were not answered go first again, in their order. */
  #putBack(batches: readonly Batch[]): void {
    const again: Waiting[] = [];
    for (const batch of batches) {
      this.#forget(batch);
      again.push(...batch.items);
    }
    this.#putFirst(again);
  }

  #putFirst(items: readonly Waiting[]): void {
    if (items.length === 0) return;
    this.#waiting = [...items, ...this.#waiting.slice(this.#first)];
    this.#first = 0;
  }

  /** One of these messages may be at fault: the only one is; of several, each is tried alone. */
  #suspect(batches: readonly Batch[], error: TransportError): void {
    for (const batch of batches) this.#forget(batch);
    const suspects = batches.flatMap(({ items }) => items);
    const [only] = suspects;
    if (suspects.length === 1) only?.sending.failed(only.message, error);
    else this.#putFirst(suspects.map((item) => ({ ...item, isSuspect: true })));
    this.#checkIdle();
  }

  #pumpSoon(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#options.clock.soon(() => {
      this.#isPumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    const sender = this.#sender;
    if (sender === undefined || this.#pause !== undefined) return;
    while (this.#count > 0 && this.#inFlight.size < this.#batchesMax() && sender.capacity() > 0) this.#sendSome(sender);
    if (this.#first === this.#waiting.length) {
      this.#waiting = [];
      this.#first = 0;
    }
    this.#watchStall();
  }

  /** A link that is not attached, or is given no credit, brings nothing on its way, whose answer might be late. */
  #watchStall(): void {
    if (!this.#isStalled) {
      this.#stall?.cancel();
      this.#stall = undefined;
      return;
    }
    if (this.#stall !== undefined) return;
    const { clock, address, answerTimeoutMs } = this.#options;
    const sinceMs = clock.monotonicMs();
    this.#stall = clock.after(answerTimeoutMs, () => {
      this.#stall = undefined;
      if (!this.#isStalled) return;
      this.#failingSinceMs ??= sinceMs;
      this.#fault = new TransportError(
        `expected ${address} to take messages within ${answerTimeoutMs} ms, found a link without credit; it is opened again; check that the broker is up and reachable`,
      );
      this.#session?.end();
    });
  }

  get #isStalled(): boolean {
    return this.#session !== undefined && this.#pause === undefined && this.#inFlight.size === 0 && this.#count > 0;
  }

  /** While a suspect is next or on its way, one batch at a time. */
  #batchesMax(): number {
    if (this.#waiting[this.#first]?.isSuspect === true) return 1;
    return this.#isTryingSuspect ? 1 : batchesInFlightMax;
  }

  #sendSome(sender: Sender<Batch>): void {
    const { clock, address, answerTimeoutMs, broker } = this.#options;
    const bytesMax = sender.remote?.maxMessageSize || Number.POSITIVE_INFINITY;
    const items = this.#takeBatch(Math.min(bytesMax, batchBytesMax));
    const [only] = items;
    const alone = only !== undefined && items.length === 1 ? aloneOf(only.section) : undefined;
    if (alone !== undefined && alone.length > bytesMax) {
      only?.sending.failed(
        only.message,
        errorOf(
          `messages of at most ${bytesMax} bytes to ${address}`,
          { condition: "amqp:link:message-size-exceeded", description: `${alone.length} bytes` },
          "",
        ),
      );
      this.#checkIdle();
      return;
    }
    const timer = clock.after(answerTimeoutMs, () => {
      broker.abort(
        new TransportError(`expected ${address} to accept ${items.length} messages within ${answerTimeoutMs} ms, found no answer; they are sent again`),
      );
    });
    const batch: Batch = { number: (this.#batches += 1), items, timer };
    this.#inFlight.add(batch);
    this.#isTryingSuspect = only?.isSuspect === true;
    if (alone !== undefined) sender.send(alone, batch);
    else
      sender.send(
        items.map(({ section }) => section),
        batch,
        undefined,
        batchFormat,
      );
  }

  /** From the front, as many as fit into one batch; at least one. */
  #takeBatch(bytesMax: number): Waiting[] {
    const items: Waiting[] = [];
    let bytes = 0;
    while (this.#count > 0 && items.length < batchMessagesMax) {
      const next = this.#waiting[this.#first]!;
      bytes += next.section.length;
      if (items.length > 0 && (bytes > bytesMax || next.isSuspect)) break;
      items.push(next);
      this.#first += 1;
      if (next.isSuspect) break;
    }
    return items;
  }

  #onOutcome(delivery: OutgoingDelivery<Batch>, state: DeliveryState | undefined): void {
    const batch = delivery.context;
    if (!this.#inFlight.has(batch)) return;
    this.#forget(batch);
    if (isBusy(state?.error?.condition)) {
      this.#holdBack(batch);
      return;
    }
    this.#failingSinceMs = undefined;
    this.#failures = 0;
    if (state?.kind === "accepted") for (const { sending } of batch.items) sending.sent();
    else this.#refuse(batch, state?.error, state?.kind ?? "nothing");
    this.#pump();
    this.#checkIdle();
  }

  #refuse(batch: Batch, condition: ErrorCondition | undefined, kind: string): void {
    const error = errorOf(`${this.#options.address} to accept ${batch.items.length} messages`, condition, `that they were ${kind}`);
    if (isOfMessage(condition)) this.#suspect([batch], error);
    else for (const { message, sending } of batch.items) sending.failed(message, error);
  }

  /** The namespace is throttled: nothing is sent for a while, then the same again. */
  #holdBack(batch: Batch): void {
    this.#refused.push(batch);
    this.#pause ??= this.#options.clock.after(busyPauseMs, () => {
      this.#pause = undefined;
      this.#putBack(this.#refused.splice(0).sort((a, b) => a.number - b.number));
      this.#pump();
    });
    if (this.#isStopping) this.#failAll(this.#busyError());
    else this.#failed(this.#busyError());
  }

  #busyError(): TransportError {
    return errorOf(`to send to ${this.#options.address}`, { condition: serverBusy, description: "the namespace is throttled" }, "");
  }

  #forget(batch: Batch): void {
    batch.timer.cancel();
    this.#inFlight.delete(batch);
    this.#isTryingSuspect = false;
  }

  /** Nothing can be sent now; whoever waits is notified once that has lasted as long as an answer may take. */
  #failed(error: TransportError): void {
    if (this.#isIdle) return;
    const { clock, answerTimeoutMs } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#failures += 1;
    this.#failingSinceMs ??= nowMs;
    if (nowMs - this.#failingSinceMs >= answerTimeoutMs) this.#failAll(error);
  }

  #failAll(error: TransportError): void {
    const failed = [...this.#refused.splice(0).flatMap(({ items }) => items), ...this.#waiting.slice(this.#first)];
    this.#waiting = [];
    this.#first = 0;
    this.#failingSinceMs = undefined;
    for (const { message, sending } of failed) sending.failed(message, error);
    this.#checkIdle();
  }

  #checkIdle(): void {
    if (!this.#isIdle) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
