/**
 * Requests to a node of the broker (`$cbs`, or an entity's `$management`) and their replies, over a pair of links in a session
 * of their own. Either both links are up or the pair is over: then every request that is still open fails, and whoever made
 * the pair makes another. It is over, too, when the broker has not attached both in time, or answers nothing any more.
 */
import type { ErrorCondition } from "../../amqp/message/condition.ts";
import type { Connection } from "../../amqp/connection/connection.ts";
import { accepted } from "../../amqp/message/delivery-state.ts";
import type { MessageView } from "../../amqp/message/message.ts";
import type { LinkEnd } from "../../amqp/link/link.ts";
import { encodeMessage } from "../../amqp/message/message-writer.ts";
import type { Delivery, Receiver } from "../../amqp/link/receiver.ts";
import type { Sender } from "../../amqp/link/sender.ts";
import type { Session } from "../../amqp/session/session.ts";
import type { Encodable, Fields } from "../../amqp/codec/types.ts";
import { MapView } from "../../amqp/codec/views.ts";
import type { Clock, Timer } from "../../core/clock.ts";
import { TransportError } from "../../core/errors.ts";
import { errorOf, transportErrorOf } from "./errors.ts";
import { requestsInFlightMax, requestsWaitingMax } from "./limits.ts";

export interface Reply {
  /** As in HTTP: 2xx is good. */
  readonly code: number;
  readonly condition: string | undefined;
  readonly description: string;
  /** The body's map; undefined when it is none. */
  readonly body: MapView | undefined;
}

export interface RequestLinkOptions {
  readonly connection: Connection;
  readonly address: string;
  readonly clock: Clock;
  readonly answerTimeoutMs: number;
  /** The broker has attached both links. */
  opened?(): void;
  /** The pair is over. Called once; not after `close`, and not when the whole connection is over. */
  lost(error: TransportError, condition: ErrorCondition | undefined): void;
}

interface Pending {
  readonly properties: Fields;
  readonly body: Encodable;
  /** Monotonic. */
  readonly askedAtMs: number;
  isSent: boolean;
  readonly timer: Timer;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: TransportError) => void;
}

export class RequestLink {
  readonly #options: RequestLinkOptions;
  readonly #session: Session;
  readonly #replies: Receiver;
  readonly #requests: Sender<string>;
  readonly #attaching: Timer;
  /** By message id, in the order they were made; those that were sent come first. */
  readonly #pending = new Map<string, Pending>();
  readonly #unsent: string[] = [];
  /** Requests that were sent and have no answer. */
  #sent = 0;
  #lastReplyMs = Number.NEGATIVE_INFINITY;
  #nextId = 0;
  #isOver = false;

  constructor(options: RequestLinkOptions) {
    this.#options = options;
    const { connection, address, clock, answerTimeoutMs } = options;
    const name = `${address}-replies`;
    this.#session = connection.begin({});
    const ended = (end: LinkEnd): void => this.#lose(end);
    this.#replies = this.#session.openReceiver(
      { name, source: { address }, target: { address: name } },
      { onDelivery: (delivery) => this.#onReply(delivery), onAttach: () => this.#attached(), onDetach: (_receiver, end) => ended(end) },
    );
    this.#replies.addCredit(requestsInFlightMax);
    this.#requests = this.#session.openSender(
      { name: `${address}-requests`, target: { address }, source: { address: name } },
      {
        onAttach: () => this.#attached(),
        onSendable: () => this.#pump(),
        onOutcome: (delivery, state) => {
          if (state?.kind === "rejected") this.#fail(delivery.context, errorOf(`an answer from ${address}`, state.error, "that the request was rejected"));
        },
        onDetach: (_sender, end) => ended(end),
      },
    );
    this.#attaching = clock.after(answerTimeoutMs, () =>
      this.#giveUp(
        new TransportError(
          `expected to reach ${address}, found that the links to it were not attached within ${answerTimeoutMs} ms; check that the broker is up and reachable`,
        ),
      ),
    );
  }

  /** Rejects with `TransportError` when no reply comes; a reply that says no is a reply. */
  request(properties: Fields, body: Encodable): Promise<Reply> {
    const { address, clock, answerTimeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      if (this.#isOver || this.#unsent.length >= requestsWaitingMax) {
        reject(
          new TransportError(
            `expected room to ask ${address}, found ${this.#isOver ? "that its link is gone" : `${requestsWaitingMax} requests waiting`}; try again`,
          ),
        );
        return;
      }
      const id = `${this.#nextId++}`;
      const timer = clock.after(answerTimeoutMs, () => this.#late(id));
      this.#pending.set(id, { properties, body, askedAtMs: clock.monotonicMs(), isSent: false, timer, resolve, reject });
      this.#unsent.push(id);
      this.#pump();
    });
  }

  /** Ends the pair; what is still open fails. */
  close(): void {
    if (this.#isOver) return;
    this.#end(new TransportError(`expected an answer from ${this.#options.address}, found that the link was closed; nothing was wrong`));
    this.#session.end();
  }

  #attached(): void {
    if (this.#replies.isAttached && this.#requests.isAttached) {
      this.#attaching.cancel();
      this.#options.opened?.();
    }
    this.#pump();
  }

  #pump(): void {
    if (!this.#replies.isAttached) return;
    while (this.#unsent.length > 0 && this.#sent < requestsInFlightMax) {
      const [id] = this.#unsent;
      const pending = id === undefined ? undefined : this.#pending.get(id);
      if (id === undefined || pending === undefined) {
        this.#unsent.shift();
        continue;
      }
      if (this.#requests.capacity() === 0) return;
      this.#unsent.shift();
      this.#send(id, pending);
    }
  }

  #send(id: string, pending: Pending): void {
    const message = encodeMessage({
      properties: { messageId: id, to: this.#options.address, replyTo: this.#replies.name },
      applicationProperties: pending.properties,
      body: { value: pending.body },
    });
    try {
      if (this.#requests.send(message, id) === undefined) return;
      pending.isSent = true;
      this.#sent += 1;
    } catch (thrown) {
      this.#fail(id, transportErrorOf(`to ask ${this.#options.address}`, thrown));
    }
  }

  #onReply(delivery: Delivery): void {
    delivery.settle(accepted);
    this.#replies.addCredit(1);
    this.#lastReplyMs = this.#options.clock.monotonicMs();
    const { message } = delivery;
    try {
      const id = message.text("correlationId") ?? "";
      const pending = this.#take(id);
      pending?.resolve(readReply(message));
    } catch (thrown) {
      // A reply that cannot be read answers nobody; its request runs into its deadline.
      if (!(thrown instanceof Error)) throw thrown;
    }
    this.#pump();
  }

  #take(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.timer.cancel();
    if (pending?.isSent === true) this.#sent -= 1;
    return pending;
  }

  /** No answer has come in time. When none at all came since it was asked, the pair is of no use. */
  #late(id: string): void {
    const { address, answerTimeoutMs } = this.#options;
    const askedAtMs = this.#pending.get(id)?.askedAtMs ?? Number.NEGATIVE_INFINITY;
    const error = new TransportError(`expected an answer from ${address} within ${answerTimeoutMs} ms, found none; check that the broker is up and reachable`);
    this.#fail(id, error);
    if (this.#lastReplyMs >= askedAtMs) this.#pump();
    else this.#giveUp(error);
  }

  #giveUp(error: TransportError): void {
    if (this.#isOver) return;
    this.#end(error);
    this.#session.end();
    this.#options.lost(error, undefined);
  }

  #fail(id: string, error: TransportError): void {
    this.#take(id)?.reject(error);
  }

  #lose(end: LinkEnd): void {
    if (this.#isOver) return;
    const error = errorOf(`to reach ${this.#options.address}`, end.error, "that the link was detached");
    this.#end(error);
    if (end.by === "connection") return;
    // One link of the pair may still be up.
    this.#session.end();
    this.#options.lost(error, end.error);
  }

  #end(error: TransportError): void {
    this.#isOver = true;
    this.#attaching.cancel();
    for (const id of this.#pending.keys()) this.#fail(id, error);
  }
}

/** `$cbs` and `$management` spell the same things differently. */
function readReply(message: MessageView): Reply {
  const properties = message.applicationProperties;
  const code = properties?.number("statusCode") ?? properties?.number("status-code") ?? 0;
  const description = properties?.string("statusDescription") ?? properties?.string("status-description") ?? "";
  const [value] = message.values();
  let body: MapView | undefined;
  if (value !== undefined && value.plain() instanceof Map) body = new MapView(value.bytes, value.start, value.end);
  return { code, condition: properties?.string("errorCondition"), description, body };
}
