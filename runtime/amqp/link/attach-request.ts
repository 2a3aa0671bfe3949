// A peer's attach that waits for the owner's answer (part 2, 2.6.3). The owner may answer at once or much later, for
// example when a session of messages becomes free; what the peer grants meanwhile is kept.
//
//   pending ──acceptAsSender, acceptAsReceiver──▶ accepted
//   pending ──refuse──▶ refused        an attach with a null terminus, then a closing detach with the error
//   pending ──the peer detaches, or its session ends──▶ abandoned
import type { ErrorCondition } from "../message/condition.ts";
import type { LinkOptions } from "./link.ts";
import type { Attach } from "../frame/performatives.ts";
import type { Receiver, ReceiverEvents } from "./receiver.ts";
import type { Sender, SenderEvents, SenderOptions } from "./sender.ts";
import { Flow } from "../frame/transfers.ts";

type AttachRequestState = "pending" | "accepted" | "refused" | "abandoned";

/** What is left out is as the peer asked: its name, source, target and settle modes. */
export type AcceptSenderOptions = Omit<SenderOptions, "name">;
export type AcceptReceiverOptions = Omit<LinkOptions, "name">;

/** What a request needs of its session. */
export interface AttachRequestHost {
  /** `flow` is what the peer granted while it waited. */
  acceptSender<Context>(attach: Attach, options: SenderOptions, events: SenderEvents<Context>, flow: Flow | undefined): Sender<Context>;
  acceptReceiver(attach: Attach, options: LinkOptions, events: ReceiverEvents): Receiver;
  refuse(attach: Attach, options: LinkOptions, error: ErrorCondition): void;
}

export class AttachRequest {
  /** What the peer asks for. A `sender` peer is answered with `acceptAsReceiver`, a `receiver` with `acceptAsSender`. */
  readonly attach: Attach;
  /** Called when the peer gives up before it was answered. */
  onAbandoned: (() => void) | undefined = undefined;
  readonly #host: AttachRequestHost;
  #state: AttachRequestState = "pending";
  /** The peer's last word on credit. */
  #flow: Flow | undefined;

  constructor(host: AttachRequestHost, attach: Attach) {
    this.#host = host;
    this.attach = attach;
  }

  get isPending(): boolean {
    return this.#state === "pending";
  }

  /** Answers a receiver: messages are sent to it. Credit that it gave already is there. */
  acceptAsSender<Context>(options: AcceptSenderOptions, events: SenderEvents<Context>): Sender<Context> {
    this.#answer("receiver", "accepted");
    return this.#host.acceptSender(this.attach, this.#complete(options), events, this.#flow);
  }

  /** Answers a sender: messages are taken from it, once it is given credit. */
  acceptAsReceiver(options: AcceptReceiverOptions, events: ReceiverEvents): Receiver {
    this.#answer("sender", "accepted");
    return this.#host.acceptReceiver(this.attach, this.#complete(options), events);
  }

  refuse(error: ErrorCondition): void {
    this.#answer(this.attach.role, "refused");
    const terminus = this.attach.role === "sender" ? { target: null } : { source: null };
    this.#host.refuse(this.attach, this.#complete(terminus), error);
  }

  #answer(role: Attach["role"], state: AttachRequestState): void {
    if (this.#state !== "pending") throw new Error(`attach request ${this.attach.name}: expected it to be pending, found it ${this.#state}`);
    if (this.attach.role !== role) throw new TypeError(`attach request ${this.attach.name}: expected an answer to a ${this.attach.role}`);
    this.#state = state;
  }

  #complete<Options extends Omit<LinkOptions, "name">>(options: Options): Options & { readonly name: string } {
    const { attach } = this;
    return {
      name: attach.name,
      source: attach.source?.raw,
      target: attach.target?.raw,
      senderSettleMode: attach.senderSettleMode,
      receiverSettleMode: attach.receiverSettleMode,
      ...options,
    };
  }

  // For the session:

  onFlow(flow: Flow): void {
    this.#flow = Object.assign(new Flow(), flow);
  }

  abandon(): void {
    if (this.#state !== "pending") return;
    this.#state = "abandoned";
    this.onAbandoned?.();
  }
}
