// A session: two windows of transfer frames, the links inside them, and the unsettled deliveries (part 2, 2.5 and 2.6).
//
//   beginning ──the peer's begin──▶ mapped ──end()──▶ ending ──the peer's end──▶ ended
//   (our begin is out)                 └──────the peer's end, which is answered──────▲
//
//   A session of the peer's making is mapped at once. In `ending` everything but the peer's end is dropped (2.5.5, DISCARDING).
//
// Both windows count transfer frames, not messages (2.5.6). The incoming one is announced again when half of it is used;
// what a peer may really send is bounded by link credit. Nothing here is written at once but what must keep its place:
// attaches, transfers, detaches. What was settled and what was granted is written when the tick ends, before any detach.
import { AttachRequest } from "./attach-request.ts";
import type { AttachRequestHost } from "./attach-request.ts";
import type { ErrorCondition } from "./condition.ts";
import { readDeliveryState } from "./delivery-state.ts";
import type { DeliveryState } from "./delivery-state.ts";
import { DeliveryTable } from "./delivery-table.ts";
import { ProtocolError, conditions } from "./errors.ts";
import { frameType } from "./frames.ts";
import type { Limits } from "./limits.ts";
import type { Link, LinkEnd, LinkOptions, Settleable } from "./link.ts";
import type { Output } from "./output.ts";
import { encodeAttach, encodeBegin, encodeDetach, encodeEnd } from "./performatives.ts";
import type { Attach, AttachFields, Begin, Detach } from "./performatives.ts";
import { Receiver } from "./receiver.ts";
import type { ReceiverEvents, ReceiverHost } from "./receiver.ts";
import { Sender } from "./sender.ts";
import type { SenderEvents, SenderHost, SenderOptions } from "./sender.ts";
import { serialAdd, serialDistance } from "./serial.ts";
import { DispositionBatch } from "./settlement.ts";
import { writeFlow } from "./transfers.ts";
import type { Disposition, Flow, LinkFlow, Transfer } from "./transfers.ts";

export type SessionState =
  | { readonly at: "beginning" }
  | { readonly at: "mapped"; readonly remote: Begin }
  | { readonly at: "ending"; readonly error: ErrorCondition | undefined }
  | { readonly at: "ended"; readonly end: SessionEnd };

/** How a session ended. */
export interface SessionEnd {
  readonly by: "local" | "peer" | "connection";
  readonly error: ErrorCondition | undefined;
}

export interface SessionOptions {
  /** Where the ids of outgoing transfers and deliveries start. Default 0. */
  readonly initialOutgoingId?: number | undefined;
}

/** Plain callbacks; none may throw. */
export interface SessionEvents {
  /** The peer has begun its half. */
  onBegin?(session: Session): void;
  /** The peer attaches a link: answer the request, now or later. Without this, all are refused. */
  onAttach?(request: AttachRequest, session: Session): void;
  /** The session is over, and so are its links. */
  onEnd?(session: Session, end: SessionEnd): void;
}

/** What a session needs of its connection. */
export interface SessionHost {
  readonly output: Output;
  readonly limits: Limits;
  /** Whether the peer does not take what was written. */
  readonly isBlocked: boolean;
  /** Has `flush` called at the end of this tick. */
  requestFlush(session: Session): void;
  later(task: () => void): void;
  holdPartial(bytes: number): void;
  noteDelivery(receiver: Receiver): void;
  /** Has `resumeSenders` called when the socket takes more. */
  noteWaiting(session: Session): void;
  release(session: Session): void;
}

/** The outgoing window is not used to bound anything; a peer only hears that there is one. */
const outgoingWindow = 0x7fff_ffff;

/** More than the head and performative of any disposition take, its state apart. */
const dispositionHeadBytes = 40;

const refusal: ErrorCondition = { condition: conditions.notAllowed, description: "no links are accepted in this session" };

export class Session implements SenderHost, ReceiverHost, AttachRequestHost {
  /** The channel that we send on. */
  readonly channel: number;
  /** The channel that the peer sends on; -1 before its begin. */
  remoteChannel = -1;
  state: SessionState = { at: "beginning" };
  /** Set anew for a session that the peer began. */
  events: SessionEvents;
  /** Whether the connection will call `flush`. */
  flushDue = false;
  readonly output: Output;
  readonly limits: Limits;
  readonly incoming: DeliveryTable<Settleable> = new DeliveryTable();
  readonly outgoing: DeliveryTable<Settleable> = new DeliveryTable();
  readonly #host: SessionHost;
  readonly #initialOutgoingId: number;

  #nextOutgoingId: number;
  #nextDeliveryId: number;
  /** Transfer frames the peer takes before it says more. */
  framesLeft = 0;
  #nextIncomingId = -1;
  #incomingLeft: number;
  /** The id that the peer's next delivery must have; -1 before its first. */
  #nextIncomingDeliveryId = -1;

  readonly #links: (Link | undefined)[] = [];
  readonly #byRemoteHandle: (Link | AttachRequest | undefined)[] = [];
  readonly #byName = new Map<string, Link | AttachRequest>();

  readonly #incomingBatch = new DispositionBatch(true);
  readonly #outgoingBatch = new DispositionBatch(false);
  readonly #flowsDue = new Set<Receiver>();
  #windowDue = false;
  #waiting = new Set<Sender>();
  /** Once the links end all together: what each leaves unsettled. */
  #unsettledAtEnd: Map<Link, Settleable[]> | undefined;

  constructor(host: SessionHost, channel: number, options: SessionOptions, events: SessionEvents) {
    this.#host = host;
    this.events = events;
    this.channel = channel;
    this.output = host.output;
    this.limits = host.limits;
    this.#initialOutgoingId = options.initialOutgoingId ?? 0;
    this.#nextOutgoingId = this.#initialOutgoingId;
    this.#nextDeliveryId = this.#initialOutgoingId;
    this.#incomingLeft = host.limits.incomingWindowFrames;
  }

  // For the owner:

  /** Attaches a link that sends. `onAttach` or `onDetach` follows. */
  openSender<Context>(options: SenderOptions, events: SenderEvents<Context>): Sender<Context> {
    const sender = new Sender(this, this.#freeHandle(), options, events);
    this.#attach(sender);
    return sender;
  }

  /** Attaches a link that receives. `onAttach` or `onDetach` follows; credit given before goes out then. */
  openReceiver(options: LinkOptions, events: ReceiverEvents): Receiver {
    const receiver = new Receiver(this, this.#freeHandle(), options, events);
    this.#attach(receiver);
    return receiver;
  }

  #attach(link: Link): void {
    const key = nameKey(link.role, link.name);
    if (this.#byName.has(key)) throw new Error(`link ${link.name}: expected a name that no ${link.role} link of the session has`);
    this.writeAttach(link.attachFields());
    this.#links[link.handle] = link;
    this.#byName.set(key, link);
  }

  #freeHandle(): number {
    if (!this.isOpen) throw new Error(`session: expected it to be open, found it ${this.state.at}`);
    if (this.#lowestHandle > this.#handleMax) throw new Error(`session: expected at most ${this.#handleMax + 1} links, as the peer allows`);
    return this.#lowestHandle;
  }

  /** The lowest handle of ours that is free. */
  get #lowestHandle(): number {
    const free = this.#links.indexOf(undefined);
    return free < 0 ? this.#links.length : free;
  }

  /** The highest handle that the peer lets us use. */
  get #handleMax(): number {
    return this.state.at === "mapped" ? this.state.remote.handleMax : 0xffff_ffff;
  }

  /**
   * Writes what was settled in this tick now, so that it comes before whatever is written next. Without this it comes when
   * the tick ends.
   */
  flushSettled(): void {
    this.#incomingBatch.write(this.output, this.channel);
    this.#outgoingBatch.write(this.output, this.channel);
  }

  /** Ends the session and its links. `onEnd` follows when the peer has answered. Does nothing to one that is ending. */
  end(error?: ErrorCondition): void {
    if (this.state.at === "ending" || this.state.at === "ended") return;
    this.#writePending();
    this.#frame(encodeEnd(error));
    this.state = { at: "ending", error };
    this.#endLinks({ by: "session", closed: true, error });
  }

  // For links:

  get isOpen(): boolean {
    return this.state.at === "mapped" || this.state.at === "beginning";
  }

  /** A frame that is encoded already. Only transfers can be cut, so another that the peer does not take cannot be sent. */
  #frame(body: Buffer): void {
    const { frameBytesMax } = this.output;
    if (body.length + 8 > frameBytesMax) throw new ProtocolError(conditions.frameSizeTooSmall, `expected frames of ${body.length + 8} bytes to be taken, found a max-frame-size of ${frameBytesMax}`, "session");
    this.output.frame(frameType.amqp, this.channel, body);
    this.requestFlush();
  }

  requestFlush(): void {
    this.#host.requestFlush(this);
  }

  later(task: () => void): void {
    this.#host.later(task);
  }

  writeAttach(fields: AttachFields): void {
    this.#frame(encodeAttach(fields));
  }

  writeDetach(link: Link, closed: boolean, error: ErrorCondition | undefined): void {
    if (!this.isOpen) return;
    this.#writePending();
    this.#frame(encodeDetach({ handle: link.handle, closed, error }));
  }

  release(link: Link): readonly Settleable[] {
    if (this.#links[link.handle] === link) this.#links[link.handle] = undefined;
    if (link.remoteHandle >= 0 && this.#byRemoteHandle[link.remoteHandle] === link) this.#byRemoteHandle[link.remoteHandle] = undefined;
    const key = nameKey(link.role, link.name);
    if (this.#byName.get(key) === link) this.#byName.delete(key);
    if (this.#unsettledAtEnd !== undefined) return this.#unsettledAtEnd.get(link) ?? [];
    const table = link.role === "sender" ? this.outgoing : this.incoming;
    const unsettled: Settleable[] = [];
    table.forEach((delivery) => {
      if (delivery.link !== link) return;
      unsettled.push(delivery);
      table.delete(delivery.id);
    });
    return unsettled;
  }

  sendRoom(): number {
    if (this.#host.isBlocked || this.state.at !== "mapped") return 0;
    return Math.max(0, Math.min(this.framesLeft, this.limits.unsettledMax - this.outgoing.size));
  }

  countFrame(): void {
    this.framesLeft--;
    this.#nextOutgoingId = serialAdd(this.#nextOutgoingId, 1);
  }

  takeDeliveryId(): number {
    const id = this.#nextDeliveryId;
    this.#nextDeliveryId = serialAdd(id, 1);
    return id;
  }

  waitForRoom(sender: Sender): void {
    this.#waiting.add(sender);
    this.#host.noteWaiting(this);
  }

  settleOutgoing(id: number, state: DeliveryState | undefined): void {
    this.#addSettled(this.#outgoingBatch, id, state, true);
  }

  settleIncoming(id: number, state: DeliveryState | undefined, settled: boolean): void {
    this.#addSettled(this.#incomingBatch, id, state, settled);
  }

  #addSettled(batch: DispositionBatch, id: number, state: DeliveryState | undefined, settled: boolean): void {
    if (!this.isOpen) return;
    const { frameBytesMax } = this.output;
    if (state !== undefined && state.bytes.length + dispositionHeadBytes > frameBytesMax) {
      throw new ProtocolError(conditions.frameSizeTooSmall, `expected a state that fits into the peer's frames of ${frameBytesMax} bytes, found ${state.bytes.length}`, "session");
    }
    batch.add(id, state, settled);
    this.requestFlush();
  }

  requestLinkFlow(receiver: Receiver): void {
    this.#flowsDue.add(receiver);
    this.requestFlush();
  }

  writeLinkFlow(link: Link): void {
    this.#writeFlow(link.flow());
    this.requestFlush();
  }

  holdPartial(bytes: number): void {
    this.#host.holdPartial(bytes);
  }

  noteDelivery(receiver: Receiver): void {
    this.#host.noteDelivery(receiver);
  }

  acceptSender<Context>(attach: Attach, options: SenderOptions, events: SenderEvents<Context>, flow: Flow | undefined): Sender<Context> {
    const sender = new Sender(this, this.#lowestHandle, options, events);
    if (flow !== undefined) sender.takeCredit(flow);
    this.#adopt(sender, attach);
    return sender;
  }

  acceptReceiver(attach: Attach, options: LinkOptions, events: ReceiverEvents): Receiver {
    const receiver = new Receiver(this, this.#lowestHandle, options, events);
    this.#adopt(receiver, attach);
    return receiver;
  }

  refuse(attach: Attach, options: LinkOptions, error: ErrorCondition): void {
    const handle = this.#lowestHandle;
    const link = attach.role === "receiver" ? new Sender(this, handle, options, {}) : new Receiver(this, handle, options, { onDelivery: () => undefined });
    this.#adopt(link, attach);
    link.close(error);
  }

  /** Answers an attach. Where the peer's own bounds leave no room for an answer, its session ends, and the link with it. */
  #adopt(link: Link, attach: Attach): void {
    try {
      if (link.handle > this.#handleMax) throw new ProtocolError(conditions.notAllowed, `expected no more links than the peer's own handle-max of ${this.#handleMax} lets us answer`, "session");
      this.writeAttach(link.attachFields());
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.fail(error);
      link.end({ by: "session", closed: true, error: error.toCondition() });
      return;
    }
    this.#links[link.handle] = link;
    this.#byRemoteHandle[attach.handle] = link;
    this.#byName.set(nameKey(link.role, link.name), link);
    link.adopt(attach);
  }

  // For the connection:

  /** Writes our begin: the first, or the answer to the peer's. */
  begin(remoteChannel: number | undefined): void {
    const { incomingWindowFrames, linksMax } = this.limits;
    this.#frame(encodeBegin({ remoteChannel, nextOutgoingId: this.#initialOutgoingId, incomingWindow: incomingWindowFrames, outgoingWindow, handleMax: linksMax - 1 }));
  }

  onBegin(remoteChannel: number, remote: Begin): void {
    this.remoteChannel = remoteChannel;
    this.#nextIncomingId = remote.nextOutgoingId;
    this.framesLeft = remote.incomingWindow;
    if (this.state.at !== "beginning") return;
    this.state = { at: "mapped", remote };
    this.events.onBegin?.(this);
  }

  onEnd(error: ErrorCondition | undefined): void {
    const own = this.state.at === "ending" ? this.state.error : undefined;
    const answered = this.state.at === "ending";
    if (!answered) this.#frame(encodeEnd(undefined));
    this.#finish({ by: answered ? "local" : "peer", error: error ?? own });
  }

  /** The connection is over. */
  drop(error: ErrorCondition | undefined): void {
    this.#finish({ by: "connection", error });
  }

  #finish(end: SessionEnd): void {
    if (this.state.at === "ended") return;
    this.state = { at: "ended", end };
    this.#host.release(this);
    this.#endLinks({ by: end.by === "connection" ? "connection" : "session", closed: true, error: end.error });
    this.events.onEnd?.(this, end);
  }

  #endLinks(end: LinkEnd): void {
    this.#unsettledAtEnd = new Map();
    for (const table of [this.incoming, this.outgoing]) {
      table.forEach((delivery) => {
        const list = this.#unsettledAtEnd?.get(delivery.link) ?? [];
        list.push(delivery);
        this.#unsettledAtEnd?.set(delivery.link, list);
        table.delete(delivery.id);
      });
    }
    for (const entry of this.#byRemoteHandle) if (entry instanceof AttachRequest) entry.abandon();
    for (const link of this.#links) link?.end(end);
    this.#byRemoteHandle.length = 0;
    this.#byName.clear();
    this.#waiting.clear();
    this.#flowsDue.clear();
  }

  /** A violation in this session: the session alone ends. */
  fail(error: ProtocolError): void {
    this.end(error.toCondition());
  }

  onAttach(attach: Attach): void {
    const { linksMax } = this.limits;
    if (attach.handle >= linksMax) throw new ProtocolError(conditions.framingError, `expected a handle up to ${linksMax - 1}, found ${attach.handle}`);
    if (this.#byRemoteHandle[attach.handle] !== undefined) throw new ProtocolError(conditions.handleInUse, `expected a handle that is free, found ${attach.handle} in use`, "session");
    const key = nameKey(attach.role === "sender" ? "receiver" : "sender", attach.name);
    const known = this.#byName.get(key);
    if (known !== undefined && !(known instanceof AttachRequest) && known.remoteHandle < 0) {
      this.#byRemoteHandle[attach.handle] = known;
      known.onAttach(attach);
      return;
    }
    // The name is attached already: the newer link takes it over (part 2, 2.6.1).
    if (known instanceof AttachRequest) throw new ProtocolError(conditions.notAllowed, "expected a link to be attached once", "session");
    if (known?.isAttached === true) known.close({ condition: conditions.stolen, description: "another link was attached by this name" });
    const request = new AttachRequest(this, attach);
    this.#byRemoteHandle[attach.handle] = request;
    this.#byName.set(key, request);
    if (this.events.onAttach === undefined) request.refuse(refusal);
    else this.events.onAttach(request, this);
  }

  onDetach(detach: Detach): void {
    const entry = this.#entry(detach.handle);
    if (entry instanceof AttachRequest) {
      this.#byRemoteHandle[detach.handle] = undefined;
      this.#byName.delete(nameKey(entry.attach.role === "sender" ? "receiver" : "sender", entry.attach.name));
      entry.abandon();
      this.#answerAbandoned(entry.attach, detach.closed);
      return;
    }
    entry.onDetach(detach.closed, detach.error);
  }

  /** A detach of a link that was never answered is answered with an attach and a detach, so that both ends are over. */
  #answerAbandoned(attach: Attach, closed: boolean): void {
    const handle = this.#lowestHandle;
    const role = attach.role === "sender" ? "receiver" : "sender";
    const { name, senderSettleMode, receiverSettleMode } = attach;
    this.writeAttach({ name, handle, role, senderSettleMode, receiverSettleMode, source: null, target: null, initialDeliveryCount: role === "sender" ? 0 : undefined });
    this.#frame(encodeDetach({ handle, closed, error: undefined }));
  }

  #entry(handle: number): Link | AttachRequest {
    const entry = this.#byRemoteHandle[handle];
    if (entry === undefined) throw new ProtocolError(conditions.unattachedHandle, `expected the handle of an attached link, found ${handle}`, "session");
    return entry;
  }

  onTransfer(transfer: Transfer, bytes: Buffer, start: number, end: number): void {
    this.#nextIncomingId = serialAdd(this.#nextIncomingId, 1);
    if (--this.#incomingLeft < 0) throw new ProtocolError(conditions.windowViolation, "expected no transfer beyond the incoming window", "session");
    if (this.#incomingLeft <= this.limits.incomingWindowFrames >>> 1 && !this.#windowDue) {
      this.#windowDue = true;
      this.requestFlush();
    }
    const entry = this.#entry(transfer.handle);
    const expected = this.#nextIncomingDeliveryId;
    const { deliveryId } = transfer;
    const isNext = deliveryId >= 0 && (deliveryId === expected || expected < 0);
    if (isNext) this.#nextIncomingDeliveryId = serialAdd(deliveryId, 1);
    if (!(entry instanceof Receiver)) throw new ProtocolError(conditions.notAllowed, "expected transfers on a link that the peer attached as sender and that was answered", "session");
    if (!entry.isAttached) return;
    if (!isNext && deliveryId >= 0 && !entry.isMidDelivery) throw new ProtocolError(conditions.invalidField, `expected delivery-id ${expected}, found ${deliveryId}`, "session");
    try {
      entry.onTransfer(transfer, bytes, start, end);
    } catch (error) {
      if (!(error instanceof ProtocolError) || error.scope !== "link") throw error;
      entry.fail(error);
    }
  }

  onFlow(flow: Flow): void {
    if (this.state.at !== "mapped") return;
    const base = flow.nextIncomingId < 0 ? this.#initialOutgoingId : flow.nextIncomingId;
    this.framesLeft = Math.max(0, serialDistance(this.#nextOutgoingId, serialAdd(base, Math.min(flow.incomingWindow, outgoingWindow))));
    if (flow.handle >= 0) this.#entry(flow.handle).onFlow(flow);
    else if (flow.echo) this.#requestWindow();
    this.resumeSenders();
  }

  #requestWindow(): void {
    this.#windowDue = true;
    this.requestFlush();
  }

  onDisposition(disposition: Disposition, bytes: Buffer): void {
    const { first, last, settled, stateStart, stateEnd } = disposition;
    if (serialDistance(first, last) < 0) throw new ProtocolError(conditions.invalidField, `expected last not to come before first, found ${first}..${last}`, "session");
    const state = stateEnd > stateStart ? readDeliveryState(bytes, stateStart, stateEnd) : undefined;
    const table = disposition.fromReceiver ? this.outgoing : this.incoming;
    table.forRange(first, last, (delivery) => delivery.onDisposition(state, settled));
    this.resumeSenders();
  }

  /** Lets senders go on that found no room, if there is some now. */
  resumeSenders(): void {
    if (this.#waiting.size === 0) return;
    // A delivery that has begun may go on where no other may begin.
    if (this.#host.isBlocked || this.framesLeft === 0) {
      this.#host.noteWaiting(this);
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const sender of waiting) sender.resume();
  }

  /** Writes what was settled and granted since the last flush. */
  flush(): void {
    if (this.isOpen) this.#writePending();
  }

  #writePending(): void {
    this.flushSettled();
    for (const receiver of this.#flowsDue) if (receiver.isAttached) this.#writeFlow(receiver.flow());
    this.#flowsDue.clear();
    if (this.#windowDue) this.#writeFlow(undefined);
  }

  /** Every flow tells the window anew (part 2, 2.5.6). */
  #writeFlow(link: LinkFlow | undefined): void {
    const { output } = this;
    this.#incomingLeft = this.limits.incomingWindowFrames;
    this.#windowDue = false;
    output.beginFrame(frameType.amqp, this.channel);
    writeFlow(output, { nextIncomingId: this.#nextIncomingId, incomingWindow: this.#incomingLeft, nextOutgoingId: this.#nextOutgoingId, outgoingWindow }, link);
    output.endFrame(0);
  }
}

function nameKey(role: "sender" | "receiver", name: string): string {
  return `${role} ${name}`;
}
