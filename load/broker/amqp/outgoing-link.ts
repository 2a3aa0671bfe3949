// A link on which a client receives: the protocol layer's messages to it, and its outcomes back.
//
// The protocol layer is given how many messages it may send. That is the client's credit, or less where the window, the
// number of unsettled deliveries or the socket bounds it. All links of a session share those bounds, so what was promised
// to one may be used up by another. The one message that finds this out waits here; no more are promised until it is sent.
import type { AcceptSenderOptions, AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import type { DeliveryState } from "#runtime/amqp/message/delivery-state.ts";
import type { OutgoingDelivery, Sender } from "#runtime/amqp/link/sender.ts";
import type { Answer, SendingHandler, SendingLink, WireConnection, WireError } from "../protocol/wire.ts";
import { outcomeOf, releasedOutcome, stateOf, type Tell } from "./outcomes.ts";

interface Waiting {
  readonly tag: Buffer;
  readonly parts: readonly [Buffer, Buffer];
  readonly held: unknown;
  readonly settled: unknown;
}

export class OutgoingLink implements SendingLink {
  readonly name: string;
  readonly connection: WireConnection;
  readonly #sender: Sender;
  readonly #tellError: Tell;
  #handler: SendingHandler | undefined;
  /** Messages that the handler may still send, as far as it knows. */
  #promised = 0;
  #waiting: Waiting[] = [];
  /** What is gone once it was sent, and is as yet in part. */
  #partly: { readonly delivery: OutgoingDelivery; readonly settled: unknown } | undefined;
  /** Deliveries whose outcome was heard and got no answer. */
  readonly #unanswered = new WeakSet<OutgoingDelivery>();

  constructor(connection: WireConnection, request: AttachRequest, tell: Tell, details: Pick<AcceptSenderOptions, "source" | "properties">) {
    this.name = request.attach.name;
    this.connection = connection;
    this.#tellError = tell;
    this.#sender = request.acceptAsSender(
      // Some clients merge the properties of the answer into their own, and expect them to be there.
      { settles: "owner", properties: {}, ...details },
      {
        onCredit: () => this.#lower(),
        onSendable: () => this.#promise(),
        onDrain: () => this.#drain(),
        onOutcome: (delivery, state, settled) => this.#settle(delivery, state, settled),
        onDetach: () => this.#end(),
      },
    );
  }

  open(start: (link: SendingLink) => SendingHandler): void {
    this.#handler = start(this);
    if (!this.#sender.isAttached) this.#end();
  }

  send(tag: Buffer, parts: readonly [Buffer, Buffer], held: unknown, settled?: unknown): void {
    this.#promised--;
    const messageBytesMax = this.#sender.remote?.maxMessageSize ?? 0;
    if (messageBytesMax > 0 && parts[0].length + parts[1].length > messageBytesMax) {
      // Under a lock it counts as a try when that ends; without one it would be lost.
      if (held === undefined) this.#waiting.push({ tag, parts, held, settled });
      this.close({
        condition: "amqp:link:message-size-exceeded",
        description: `The next message is larger than the ${messageBytesMax} bytes that the link takes.`,
      });
      return;
    }
    if (this.#waiting.length > 0 || !this.#write({ tag, parts, held, settled })) this.#waiting.push({ tag, parts, held, settled });
    // What is in the way says when it is gone, through `onSendable`.
    if (this.#promised > 0 && this.#sender.capacity() === 0) this.#tell(0);
  }

  close(error: WireError): void {
    this.#sender.close(this.#tellError(error));
    this.#end();
  }

  /** Sends, if there is room. */
  #write({ tag, parts, held, settled }: Waiting): boolean {
    const sender = this.#sender;
    if (held !== undefined) return sender.send(parts, held, tag) !== undefined;
    // A client may free a request when its reply comes: the request's own acceptance must be there before.
    sender.flushSettled();
    const sent = sender.senderSettleMode === "unsettled" ? sender.send(parts, held, tag) : sender.sendSettled(parts, held, tag);
    if (sent !== undefined) this.#partly = sender.incomplete === sent ? { delivery: sent, settled } : undefined;
    return sent !== undefined;
  }

  #tell(credit: number): void {
    this.#promised = credit;
    this.#handler?.onCredit(credit);
  }

  /** The client's credit is set again: takes back what was promised beyond it. */
  #lower(): void {
    if (this.#promised > this.#sender.credit) this.#tell(this.#sender.credit);
  }

  /** There is room: for what waits, then for more. */
  #promise(): void {
    let sent = 0;
    for (const waiting of this.#waiting) {
      if (!this.#write(waiting)) break;
      sent++;
    }
    this.#waiting.splice(0, sent);
    if (this.#waiting.length === 0) this.#tell(this.#sender.capacity());
  }

  /** The client wants its credit used or back. While something is in the way, this is asked again when it is gone. */
  #drain(): void {
    this.#promise();
    const sender = this.#sender;
    if (sender.credit > 0 && sender.capacity() === 0) return;
    sender.drained();
    this.#tell(0);
  }

  #settle(delivery: OutgoingDelivery, state: DeliveryState | undefined, settled: boolean): void {
    if (this.#handler === undefined || (!settled && state?.isOutcome !== true) || this.#unanswered.has(delivery)) return;
    this.#answer(delivery, settled, this.#handler.onOutcome(delivery.context, outcomeOf(state)));
  }

  #answer(delivery: OutgoingDelivery, settled: boolean, answer: Answer): void {
    if (answer.kind === "later") {
      this.#unanswered.add(delivery);
      answer.start((final) => {
        if (this.#handler !== undefined) this.#answer(delivery, settled, final);
      });
      return;
    }
    const state = stateOf(answer, this.#tellError);
    if (state === undefined) this.#unanswered.add(delivery);
    else if (!settled) delivery.settle(state);
  }

  /**
   * What waits was never seen by the client, so it is let go. So is what was to be deleted as it went out and of which not all was written: no client
   * can have it. (In Service Bus it is gone when it is asked for.) What was written as a whole and is lost on its way is lost.
   */
  #end(): void {
    const handler = this.#handler;
    const waiting = this.#waiting;
    const partly = this.#partly;
    this.#handler = undefined;
    this.#waiting = [];
    this.#partly = undefined;
    if (handler === undefined) return;
    const cutOff = partly !== undefined && partly.delivery === this.#sender.incomplete ? partly.settled : undefined;
    if (waiting.length > 0 || cutOff !== undefined) handler.onCredit(0);
    if (cutOff !== undefined) handler.onUnsent?.(cutOff);
    for (const { held, settled } of waiting) {
      if (held !== undefined) handler.onOutcome(held, releasedOutcome);
      else if (settled !== undefined) handler.onUnsent?.(settled);
    }
    handler.onClosed();
  }
}
