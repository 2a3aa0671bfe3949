// The links of a session: how each comes to be and ends (part 2, 2.6.1 to 2.6.6). The two ends are attached one by the
// other's attach:
//
//   ours first     add ────────▶ the peer's attach ties its handle to the link
//   theirs first   onAttach ───▶ an AttachRequest, which the owner answers: a link that is attached at once, or a refusal
//   both at once   our attach is the answer to theirs, and theirs to ours: one link
//
// A detach of the peer's that comes before the answer is answered with both: an attach without termini, and a detach.
import { AttachRequest } from "../link/attach-request.ts";
import type { AttachRequestHost } from "../link/attach-request.ts";
import type { ErrorCondition } from "../message/condition.ts";
import { ProtocolError, callAll, conditions } from "../codec/errors.ts";
import { Handles, oppositeOf } from "./handles.ts";
import type { Link, LinkEnd, LinkHost, LinkOptions } from "../link/link.ts";
import type { Attach, AttachFields, Detach } from "../frame/performatives.ts";
import { Receiver } from "../link/receiver.ts";
import type { ReceiverEvents, ReceiverHost } from "../link/receiver.ts";
import { Sender } from "../link/sender.ts";
import type { SenderEvents, SenderHost, SenderOptions } from "../link/sender.ts";
import type { Flow } from "../frame/transfers.ts";

/** What the links need of their session. */
export interface LinksHost extends SenderHost, ReceiverHost, LinkHost {
  /** The highest handle that the peer lets us use. */
  readonly handleMax: number;
  /** Tells the owner of an attach of the peer's; false: it takes none. */
  onAttachRequest(request: AttachRequest): boolean;
  /** A detach that goes with an attach that refuses. */
  writeRefusal(handle: number, closed: boolean): void;
  /** Counts bytes of attaches that are kept as long as their links; throws when they are too many. */
  holdAttach(bytes: number): void;
  /** Ends the session for a violation. */
  fail(error: ProtocolError): void;
}

const noLinks: ErrorCondition = { condition: conditions.notAllowed, description: "no links are accepted in this session" };

export class Links implements AttachRequestHost {
  readonly #host: LinksHost;
  readonly #handles = new Handles();

  constructor(host: LinksHost) {
    this.#host = host;
  }

  /** What the peer numbers so. */
  remote(handle: number): Link | AttachRequest {
    return this.#handles.remote(handle);
  }

  // Ours first:

  openSender<Context>(options: SenderOptions, events: SenderEvents<Context>): Sender<Context> {
    const sender = new Sender(this.#host, this.#freeHandle(), options, events);
    this.#attach(sender);
    return sender;
  }

  openReceiver(options: LinkOptions, events: ReceiverEvents): Receiver {
    const receiver = new Receiver(this.#host, this.#freeHandle(), options, events);
    this.#attach(receiver);
    return receiver;
  }

  #freeHandle(): number {
    const { free } = this.#handles;
    if (free > this.#host.handleMax) throw new Error(`session: expected at most ${this.#host.handleMax + 1} links, as the peer allows`);
    return free;
  }

  #attach(link: Link): void {
    if (this.#handles.named(link.role, link.name) !== undefined)
      throw new Error(`link ${link.name}: expected a name that no ${link.role} link of the session has`);
    this.#host.writeAttach(link.attachFields());
    this.#handles.add(link);
  }

  // Theirs first:

  onAttach(attach: Attach): void {
    const { linksMax } = this.#host.limits;
    if (attach.handle >= linksMax) throw new ProtocolError(conditions.framingError, `expected a handle up to ${linksMax - 1}, found ${attach.handle}`);
    if (this.#handles.isTaken(attach.handle))
      throw new ProtocolError(conditions.handleInUse, `expected a handle that is free, found ${attach.handle} in use`, "session");
    const known = this.#handles.named(oppositeOf(attach.role), attach.name);
    if (known instanceof AttachRequest) throw new ProtocolError(conditions.notAllowed, "expected a link to be attached once", "session");
    this.#host.holdAttach(attach.bytes);
    if (known !== undefined && known.remoteHandle < 0) {
      this.#handles.tie(attach, known);
      known.onAttach(attach);
      return;
    }
    // The name is attached already: the newer link takes it over (part 2, 2.6.1).
    if (known?.isAttached === true) known.close({ condition: conditions.stolen, description: "another link was attached by this name" });
    const request = new AttachRequest(this, attach);
    this.#handles.addRequest(request);
    if (!this.#host.onAttachRequest(request)) request.refuse(noLinks);
  }

  acceptSender<Context>(attach: Attach, options: SenderOptions, events: SenderEvents<Context>, flow: Flow | undefined): Sender<Context> {
    const sender = new Sender(this.#host, this.#handles.free, options, events);
    if (flow !== undefined) sender.takeCredit(flow);
    this.#answer(sender, attach);
    return sender;
  }

  acceptReceiver(attach: Attach, options: LinkOptions, events: ReceiverEvents): Receiver {
    const receiver = new Receiver(this.#host, this.#handles.free, options, events);
    this.#answer(receiver, attach);
    return receiver;
  }

  refuse(attach: Attach, options: LinkOptions, error: ErrorCondition): void {
    const handle = this.#handles.free;
    const link =
      attach.role === "receiver" ? new Sender(this.#host, handle, options, {}) : new Receiver(this.#host, handle, options, { onDelivery: () => undefined });
    this.#answer(link, attach);
    link.close(error);
  }

  /** Answers an attach. Where the peer's own bounds leave no room for an answer, its session ends, and the link with it. */
  #answer(link: Link, attach: Attach): void {
    try {
      this.#write(link.attachFields());
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      callAll([() => this.#host.fail(error), () => link.end({ by: "session", closed: true, error: error.toCondition() })]);
      return;
    }
    this.#handles.add(link);
    this.#handles.tie(attach, link);
    link.adopt(attach);
  }

  /** Writes an attach that answers the peer's. */
  #write(fields: AttachFields): void {
    const { handleMax } = this.#host;
    if (fields.handle > handleMax)
      throw new ProtocolError(conditions.notAllowed, `expected no more links than the peer's own handle-max of ${handleMax} lets us answer`, "session");
    this.#host.writeAttach(fields);
  }

  // Ends:

  onDetach(detach: Detach): void {
    const entry = this.#handles.remote(detach.handle);
    if (!(entry instanceof AttachRequest)) {
      entry.onDetach(detach.closed, detach.error);
      return;
    }
    this.#handles.deleteRequest(entry);
    this.#abandon(entry);
    const handle = this.#handles.free;
    const { name, role, senderSettleMode, receiverSettleMode } = entry.attach;
    const isSender = role === "receiver";
    this.#write({
      name,
      handle,
      role: oppositeOf(role),
      senderSettleMode,
      receiverSettleMode,
      source: null,
      target: null,
      initialDeliveryCount: isSender ? 0 : undefined,
    });
    this.#host.writeRefusal(handle, detach.closed);
  }

  #abandon(request: AttachRequest): void {
    this.#host.holdAttach(-request.attach.bytes);
    request.abandon();
  }

  /** Forgets a link whose both ends are over. */
  release(link: Link): void {
    this.#handles.delete(link);
    this.#host.holdAttach(-link.attachBytes);
  }

  /** Ends all. Every owner of a link is notified, even when the callback of another throws. */
  end(end: LinkEnd): void {
    const { links, requests } = this.#handles.clear();
    callAll([...requests.map((request) => () => this.#abandon(request)), ...links.map((link) => () => link.end(end))]);
  }
}
