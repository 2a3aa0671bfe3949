// A link on which a client sends: whole messages to the protocol layer, its answers back, and credit as it is used up.
import type { AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import type { Delivery, Receiver } from "#runtime/amqp/link/receiver.ts";
import { type Answer, type ReceivingHandler, type ReceivingLink, rejected, type WireError } from "../protocol/wire.ts";
import { messageTooLarge } from "../protocol/refusals.ts";
import { stateOf, type Tell } from "./outcomes.ts";

const closedAnswer: Answer = rejected("amqp:illegal-state", "The link is closed.");

export class IncomingLink implements ReceivingLink {
  readonly name: string;
  readonly #receiver: Receiver;
  readonly #creditMax: number;
  readonly #tell: Tell;
  #handler: ReceivingHandler | undefined;

  constructor(request: AttachRequest, tell: Tell, messageBytesMax: number, creditMax: number) {
    this.name = request.attach.name;
    this.#tell = tell;
    this.#creditMax = creditMax;
    this.#receiver = request.acceptAsReceiver(
      // Some senders wait for ever unless the broker settles first, whatever they asked for.
      { receiverSettleMode: "first", maxMessageSize: messageBytesMax, properties: {} },
      {
        onDelivery: (delivery) => this.#answer(delivery, this.#handler?.onMessage(delivery.message.bytes, delivery.messageFormat) ?? closedAnswer),
        onTooLarge: (delivery, length) => this.#answer(delivery, { kind: "rejected", error: messageTooLarge(length, messageBytesMax, delivery.id) }),
        onDeliveriesEnd: () => this.#grant(this.#creditMax / 2),
        onDetach: () => this.#end(),
      },
    );
  }

  open(start: (link: ReceivingLink) => ReceivingHandler): void {
    this.#handler = start(this);
    if (this.#receiver.isAttached) this.#grant(0);
    else this.#end();
  }

  close(error: WireError): void {
    this.#receiver.close(this.#tell(error));
    this.#end();
  }

  #answer(delivery: Delivery, answer: Answer): void {
    if (answer.kind === "later") {
      answer.start((final) => {
        if (this.#handler !== undefined) this.#answer(delivery, final);
      });
      return;
    }
    const state = stateOf(answer, this.#tell);
    if (state !== undefined && !delivery.settled) delivery.settle(state);
  }

  /** Fills credit up when no more than `low` is left. */
  #grant(low: number): void {
    const { credit } = this.#receiver;
    if (credit <= low) this.#receiver.addCredit(this.#creditMax - credit);
  }

  #end(): void {
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.onClosed();
  }
}
