// What sender and receiver links have in common: attaching and detaching (part 2, 2.6.3 to 2.6.6).
//
//                      ┌──────────── attach answered ───────────┐
//   attaching ─────────┤                                        ├──▶ attached ──▶ detaching ──▶ detached
//   (our attach is out)└─ answered with a null terminus ▶ refused ──▶ (the peer's detach follows) ──▲
//                                                                                                   │
//   The peer's detach ends a link from every state; it is answered with ours unless that was first ─┘
//
// An attach of the peer's makes an AttachRequest (attach-request.ts); accepting it makes a link that is attached at once.
import type { ErrorCondition } from "../message/condition.ts";
import type { DeliveryState } from "../message/delivery-state.ts";
import type { ProtocolError } from "../codec/errors.ts";
import type { Limits } from "../codec/limits.ts";
import type { Output } from "../frame/output.ts";
import type { Attach, AttachFields, ReceiverSettleMode, Role, SenderSettleMode } from "../frame/performatives.ts";
import type { Flow, LinkFlow } from "../frame/transfers.ts";
import type { SourceFields, TargetFields } from "../message/terminus.ts";
import type { Fields, Raw } from "../codec/types.ts";
import type { MapView } from "../codec/views.ts";

export type LinkState =
  | { readonly at: "attaching" }
  | { readonly at: "refused" }
  | { readonly at: "attached"; readonly remote: Attach }
  | { readonly at: "detaching"; readonly error: ErrorCondition | undefined }
  | { readonly at: "detached"; readonly end: LinkEnd };

/** How a link ended. With its session or connection it ends without a detach of its own. */
export interface LinkEnd {
  readonly by: "local" | "peer" | "session" | "connection";
  /** Whether the link itself is gone, and not only detached. */
  readonly closed: boolean;
  readonly error: ErrorCondition | undefined;
}

export interface LinkOptions {
  /** Unique among the links of this direction between two containers. */
  readonly name: string;
  /** Null in an attach that refuses; left out: a source without an address. */
  readonly source?: SourceFields | Raw | null | undefined;
  readonly target?: TargetFields | Raw | null | undefined;
  /** Default mixed: each delivery is sent settled or not. */
  readonly senderSettleMode?: SenderSettleMode | undefined;
  /** Default first: settling is over when the receiver has said so. With second it ends when the sender has answered. */
  readonly receiverSettleMode?: ReceiverSettleMode | undefined;
  /** Largest message in bytes; announced to the peer. A receiver's default is the limit `messageBytesMax`, a sender's none. */
  readonly maxMessageSize?: number | undefined;
  readonly properties?: Fields | MapView | undefined;
  readonly offeredCapabilities?: readonly string[] | undefined;
  readonly desiredCapabilities?: readonly string[] | undefined;
}

/** What a link needs of its session. */
export interface LinkHost {
  readonly channel: number;
  readonly output: Output;
  readonly limits: Limits;
  /** Writes the attach of a link. */
  writeAttach(fields: AttachFields): void;
  /** Writes a detach after everything that was settled or granted before it. */
  writeDetach(link: Link, closed: boolean, error: ErrorCondition | undefined): void;
  /** Lets a link go whose both ends are detached. Returns its deliveries that are not settled. */
  release(link: Link): readonly Settleable[];
  /** Runs `task` at the end of this tick. */
  later(task: () => void): void;
  /** Has a flush come at the end of this tick. */
  requestFlush(): void;
  flushSettled(): void;
}

export abstract class Link {
  readonly name: string;
  readonly role: Role;
  /** Our handle. */
  readonly handle: number;
  /** The peer's handle; -1 before its attach. */
  remoteHandle = -1;
  /** Bytes of the peer's attach, which are kept as long as the link. */
  attachBytes = 0;
  state: LinkState = { at: "attaching" };
  readonly receiverSettleMode: ReceiverSettleMode;
  readonly senderSettleMode: SenderSettleMode;
  readonly options: LinkOptions;

  constructor(role: Role, handle: number, options: LinkOptions) {
    this.name = options.name;
    this.role = role;
    this.handle = handle;
    this.options = options;
    this.receiverSettleMode = options.receiverSettleMode ?? "first";
    this.senderSettleMode = options.senderSettleMode ?? "mixed";
  }

  protected abstract readonly host: LinkHost;

  /** Writes what was settled in this tick now, so that it comes before whatever is sent next. */
  flushSettled(): void {
    this.host.flushSettled();
  }

  get isAttached(): boolean {
    return this.state.at === "attached";
  }

  /** The peer's attach, once it has come and while the link lasts. */
  get remote(): Attach | undefined {
    return this.state.at === "attached" ? this.state.remote : undefined;
  }

  /** Ends the link for good. `onDetach` follows when the peer has answered. Does nothing to a link that is ending. */
  close(error?: ErrorCondition): void {
    this.#detach(true, error);
  }

  /** Detaches and leaves the terminus at the peer as its expiry policy has it. */
  detach(error?: ErrorCondition): void {
    this.#detach(false, error);
  }

  #detach(closed: boolean, error: ErrorCondition | undefined): void {
    if (this.state.at === "detaching" || this.state.at === "detached") return;
    this.host.writeDetach(this, closed, error);
    this.state = { at: "detaching", error };
    this.detaching();
  }

  // For the session:

  /** The fields of our attach. */
  attachFields(): AttachFields {
    const { options } = this;
    return {
      name: this.name,
      handle: this.handle,
      role: this.role,
      senderSettleMode: this.senderSettleMode,
      receiverSettleMode: this.receiverSettleMode,
      source: options.source === undefined ? {} : options.source,
      target: options.target === undefined ? {} : options.target,
      initialDeliveryCount: this.role === "sender" ? 0 : undefined,
      maxMessageSize: options.maxMessageSize,
      offeredCapabilities: options.offeredCapabilities,
      desiredCapabilities: options.desiredCapabilities,
      properties: options.properties,
    };
  }

  /** The peer has answered our attach. */
  onAttach(remote: Attach): void {
    this.remoteHandle = remote.handle;
    this.attachBytes = remote.bytes;
    if (this.state.at !== "attaching") return;
    const refused = this.role === "sender" ? remote.target === undefined : remote.source === undefined;
    if (refused) {
      this.state = { at: "refused" };
      return;
    }
    this.adopt(remote);
    this.announce(remote);
  }

  /** Both ends are attached: `remote` answers our attach, or ours answers it. */
  adopt(remote: Attach): void {
    this.remoteHandle = remote.handle;
    this.attachBytes = remote.bytes;
    this.state = { at: "attached", remote };
    this.attached(remote);
  }

  /** The peer's detach has come: answers it when it was first, and ends. */
  onDetach(closed: boolean, error: ErrorCondition | undefined): void {
    const answered = this.state.at === "detaching";
    if (!answered) this.host.writeDetach(this, closed, undefined);
    const own = this.state.at === "detaching" ? this.state.error : undefined;
    this.end({ by: answered ? "local" : "peer", closed, error: error ?? own });
  }

  /** Ends the link on this side. */
  end(end: LinkEnd): void {
    if (this.state.at === "detached") return;
    this.state = { at: "detached", end };
    this.ended(end, this.host.release(this));
  }

  /** A violation on this link: the link alone ends. */
  fail(error: ProtocolError): void {
    this.close(error.toCondition());
  }

  protected abstract attached(remote: Attach): void;
  /** Tells the owner that the peer has answered. */
  protected abstract announce(remote: Attach): void;
  /** Our detach is out: nothing more will be taken in. */
  protected abstract detaching(): void;
  protected abstract ended(end: LinkEnd, unsettled: readonly Settleable[]): void;
  abstract onFlow(flow: Flow): void;
  /** The link's half of a flow. */
  abstract flow(): LinkFlow;
}

/** A delivery as the peer's dispositions find it. */
export interface Settleable {
  readonly id: number;
  readonly link: Link;
  onDisposition(state: DeliveryState | undefined, settled: boolean): void;
}
