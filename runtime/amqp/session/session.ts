// A session: two windows of transfer frames, the links inside them, and the unsettled deliveries (part 2, 2.5 and 2.6).
//
//   beginning ──the peer's begin──▶ mapped ──end()──▶ ending ──the peer's end──▶ ended
//   (our begin is out)                 └──────the peer's end, which is answered──────▲
//
//   A session of the peer's making is mapped at once. In `ending` everything but the peer's end is dropped (2.5.5, DISCARDING).
//
// The windows are in windows.ts, the links in links.ts, the deliveries in deliveries.ts. Nothing here is written at once but
// what must keep its place: attaches, transfers, detaches. What was settled and what was granted is written when the tick
// ends, before any detach.
import type { AttachRequest } from "../link/attach-request.ts";
import { shortened } from "../message/condition.ts";
import type { ErrorCondition } from "../message/condition.ts";
import { Deliveries } from "./deliveries.ts";
import { readDeliveryState } from "../message/delivery-state.ts";
import type { DeliveryState } from "../message/delivery-state.ts";
import type { DeliveryTable } from "../link/delivery-table.ts";
import { ProtocolError, callAll, conditions } from "../codec/errors.ts";
import { frameType } from "../frame/frames.ts";
import type { Limits } from "../codec/limits.ts";
import type { Link, LinkEnd, LinkOptions, Settleable } from "../link/link.ts";
import { Links } from "./links.ts";
import type { LinksHost } from "./links.ts";
import type { Output } from "../frame/output.ts";
import { encodeAttach, encodeBegin, encodeDetach, encodeEnd } from "../frame/performatives.ts";
import type { Attach, AttachFields, Begin, Detach } from "../frame/performatives.ts";
import { Receiver } from "../link/receiver.ts";
import type { ReceiverEvents } from "../link/receiver.ts";
import type { Sender, SenderEvents, SenderOptions } from "../link/sender.ts";
import { serialAdd } from "../codec/serial.ts";
import { writeFlow } from "../frame/transfers.ts";
import type { Disposition, Flow, LinkFlow, Transfer } from "../frame/transfers.ts";
import { Windows, outgoingWindow } from "./windows.ts";

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
  /**
   * How many bytes may be on their way to this session, or have come of messages that are not whole; of the latter there are
   * `arrivingBytes`. Asked whenever the incoming window is stated, which a frame of the largest size is counted in; what was granted is not taken
   * back. Without it the window is as wide as `limits.incomingWindowFrames` each time.
   */
  readonly incomingBytes?: ((arrivingBytes: number) => number) | undefined;
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
  /** Counts bytes of attaches that are kept as long as their links; throws when they are too many. */
  holdAttach(bytes: number): void;
  noteDelivery(receiver: Receiver): void;
  /** Has `resumeSenders` called when the socket takes more. */
  noteWaiting(session: Session): void;
  release(session: Session): void;
}

export class Session implements LinksHost {
  /** The channel that we send on. */
  readonly channel: number;
  /** The channel that the peer sends on; -1 before its begin. */
  remoteChannel = -1;
  state: SessionState = { at: "beginning" };
  /** Set again for a session that the peer began. */
  events: SessionEvents;
  /** Whether the connection will call `flush`. */
  flushDue = false;
  readonly output: Output;
  readonly limits: Limits;
  readonly #deliveries: Deliveries;
  /** The unsettled ones, by id. */
  readonly incoming: DeliveryTable<Settleable>;
  readonly outgoing: DeliveryTable<Settleable>;
  readonly #host: SessionHost;
  readonly #initialOutgoingId: number;
  /** The incoming window as our begin states it. */
  readonly #beginFrames: number;
  readonly #windows: Windows;
  readonly #incomingBytes: SessionOptions["incomingBytes"];
  /** Of messages that are not whole. */
  #arrivingBytes = 0;
  readonly #links = new Links(this);
  /** The id that the peer's next delivery must have; -1 before its first. */
  #nextIncomingDeliveryId = -1;
  /** What is written when the tick ends. */
  readonly #flowsDue = new Set<Receiver>();
  #windowDue = false;
  /** It is stated though it is no wider: the peer asked. */
  #isWindowAsked = false;
  #waiting = new Set<Sender>();

  constructor(host: SessionHost, channel: number, options: SessionOptions, events: SessionEvents) {
    this.#host = host;
    this.events = events;
    this.channel = channel;
    this.output = host.output;
    this.limits = host.limits;
    this.#initialOutgoingId = options.initialOutgoingId ?? 0;
    this.#incomingBytes = options.incomingBytes;
    this.#beginFrames = Math.min(host.limits.incomingWindowFrames, this.#framesMax());
    this.#windows = new Windows(this.#initialOutgoingId, host.limits.incomingWindowFrames, this.#beginFrames);
    this.#deliveries = new Deliveries(this.#initialOutgoingId);
    this.incoming = this.#deliveries.incoming;
    this.outgoing = this.#deliveries.outgoing;
  }

  // For the owner:

  /**
   * Attaches a link that sends. `onAttach` follows, or `onDetach` with the peer's refusal. Throws when the session is ending,
   * the name is taken or the peer allows no more links; a ProtocolError (`amqp:frame-size-too-small`) when the attach does
   * not fit into a frame that the peer takes.
   */
  openSender<Context>(options: SenderOptions, events: SenderEvents<Context>): Sender<Context> {
    this.#requireOpen();
    return this.#links.openSender(options, events);
  }

  /** Attaches a link that receives, as `openSender`. Credit that is given before `onAttach` goes out then. */
  openReceiver(options: LinkOptions, events: ReceiverEvents): Receiver {
    this.#requireOpen();
    return this.#links.openReceiver(options, events);
  }

  #requireOpen(): void {
    if (!this.isOpen) throw new Error(`session: expected it to be open, found it ${this.state.at}`);
  }

  /**
   * Writes what was settled in this tick now, so that it comes before whatever is written next. Without this it comes when
   * the tick ends.
   */
  flushSettled(): void {
    this.#deliveries.write(this.output, this.channel);
  }

  /** `incomingBytes` may be more than when it was asked last: the window opens again if it is half used up. */
  widen(): void {
    if (this.#windows.isLow) this.#requestWindow();
  }

  /** Ends the session and its links, whose `onDetach` is called at once. `onEnd` follows when the peer has answered. Does nothing to one that is ending. */
  end(error?: ErrorCondition): void {
    if (this.state.at === "ending" || this.state.at === "ended") return;
    this.#writePending();
    this.#frame(encodeEnd(shortened(error, this.output.frameBytesMax)));
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
    if (body.length + 8 > frameBytesMax)
      throw new ProtocolError(
        conditions.frameSizeTooSmall,
        `expected frames of ${body.length + 8} bytes to be taken, found a max-frame-size of ${frameBytesMax}`,
        "session",
      );
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

  writeRefusal(handle: number, closed: boolean): void {
    this.#frame(encodeDetach({ handle, closed, error: undefined }));
  }

  writeDetach(link: Link, closed: boolean, error: ErrorCondition | undefined): void {
    if (!this.isOpen) return;
    this.#writePending();
    this.#frame(encodeDetach({ handle: link.handle, closed, error: shortened(error, this.output.frameBytesMax) }));
  }

  release(link: Link): readonly Settleable[] {
    this.#links.release(link);
    return this.#deliveries.release(link);
  }

  get framesLeft(): number {
    return this.#windows.framesLeft;
  }

  get isBlocked(): boolean {
    return this.#host.isBlocked;
  }

  sendRoom(): number {
    if (this.isBlocked || this.state.at !== "mapped") return 0;
    return Math.max(0, Math.min(this.framesLeft, this.limits.unsettledMax - this.outgoing.size));
  }

  countFrame(): void {
    this.#windows.countOutgoing();
  }

  takeDeliveryId(): number {
    return this.#deliveries.takeOutgoingId();
  }

  waitForRoom(sender: Sender): void {
    this.#waiting.add(sender);
    this.#host.noteWaiting(this);
  }

  settleOutgoing(id: number, state: DeliveryState | undefined): void {
    if (!this.isOpen) return;
    this.#deliveries.settleOutgoing(this.output, id, state);
    this.requestFlush();
  }

  settleIncoming(id: number, state: DeliveryState | undefined, settled: boolean): void {
    if (!this.isOpen) return;
    this.#deliveries.settleIncoming(this.output, id, state, settled);
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
    this.#arrivingBytes += bytes;
    this.#host.holdPartial(bytes);
  }

  noteDelivery(receiver: Receiver): void {
    this.#host.noteDelivery(receiver);
  }

  get handleMax(): number {
    return this.state.at === "mapped" ? this.state.remote.handleMax : 0xffff_ffff;
  }

  onAttachRequest(request: AttachRequest): boolean {
    if (this.events.onAttach === undefined) return false;
    this.events.onAttach(request, this);
    return true;
  }

  holdAttach(bytes: number): void {
    this.#host.holdAttach(bytes);
  }

  // For the connection:

  /** Writes our begin: the first, or the answer to the peer's. */
  begin(remoteChannel: number | undefined): void {
    const { linksMax } = this.limits;
    this.#frame(
      encodeBegin({ remoteChannel, nextOutgoingId: this.#initialOutgoingId, incomingWindow: this.#beginFrames, outgoingWindow, handleMax: linksMax - 1 }),
    );
  }

  onBegin(remoteChannel: number, remote: Begin): void {
    this.remoteChannel = remoteChannel;
    this.#windows.onBegin(remote);
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
    callAll([
      () => this.#endLinks({ by: end.by === "connection" ? "connection" : "session", closed: true, error: end.error }),
      () => this.events.onEnd?.(this, end),
    ]);
  }

  #endLinks(end: LinkEnd): void {
    this.#deliveries.end();
    this.#waiting.clear();
    this.#flowsDue.clear();
    this.#links.end(end);
  }

  /** A violation in this session: the session alone ends. */
  fail(error: ProtocolError): void {
    this.end(error.toCondition());
  }

  onAttach(attach: Attach): void {
    this.#links.onAttach(attach);
  }

  onDetach(detach: Detach): void {
    this.#links.onDetach(detach);
  }

  onTransfer(transfer: Transfer, bytes: Buffer, start: number, end: number): void {
    if (this.#windows.countIncoming()) this.#requestWindow();
    const entry = this.#links.remote(transfer.handle);
    const expected = this.#nextIncomingDeliveryId;
    const { deliveryId } = transfer;
    const isNext = deliveryId >= 0 && (deliveryId === expected || expected < 0);
    if (isNext) this.#nextIncomingDeliveryId = serialAdd(deliveryId, 1);
    if (!(entry instanceof Receiver))
      throw new ProtocolError(conditions.notAllowed, "expected transfers on a link that the peer attached as sender and that was answered", "session");
    if (!entry.isAttached) return;
    if (!isNext && deliveryId >= 0 && !entry.isMidDelivery)
      throw new ProtocolError(conditions.invalidField, `expected delivery-id ${expected}, found ${deliveryId}`, "session");
    try {
      entry.onTransfer(transfer, bytes, start, end);
    } catch (error) {
      if (!(error instanceof ProtocolError) || error.scope !== "link") throw error;
      entry.fail(error);
    }
  }

  onFlow(flow: Flow): void {
    if (this.state.at !== "mapped") return;
    this.#windows.onFlow(flow);
    if (flow.handle >= 0) this.#links.remote(flow.handle).onFlow(flow);
    else if (flow.echo) {
      this.#isWindowAsked = true;
      this.#requestWindow();
    }
    this.resumeSenders();
  }

  #requestWindow(): void {
    if (this.#windowDue) return;
    this.#windowDue = true;
    this.requestFlush();
  }

  onDisposition(disposition: Disposition, bytes: Buffer): void {
    const { stateStart, stateEnd } = disposition;
    this.#deliveries.onDisposition(disposition, stateEnd > stateStart ? readDeliveryState(bytes, stateStart, stateEnd) : undefined);
    this.resumeSenders();
  }

  /** Lets senders go on that found no room, if there is some now. */
  resumeSenders(): void {
    if (this.#waiting.size === 0) return;
    // A delivery that has begun may go on where no other may begin.
    if (this.isBlocked || this.framesLeft === 0) {
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
    if (this.#windowDue) this.#writeWindow();
  }

  /** As far as it may be opened now; nothing where that is no further. */
  #writeWindow(): void {
    const framesMax = this.#framesMax();
    if (this.#isWindowAsked || this.#windows.wouldOpen(framesMax)) this.#writeFlow(undefined, framesMax);
    else this.#windowDue = false;
  }

  /** Every flow states the window again. */
  #writeFlow(link: LinkFlow | undefined, framesMax: number = this.#framesMax()): void {
    const { output } = this;
    this.#windowDue = false;
    this.#isWindowAsked = false;
    output.beginFrame(frameType.amqp, this.channel);
    writeFlow(output, this.#windows.tell(framesMax), link);
    output.endFrame(0);
  }

  /** Frames of any size that may be on their way. */
  #framesMax(): number {
    if (this.#incomingBytes === undefined) return Number.POSITIVE_INFINITY;
    const bytes = this.#incomingBytes(this.#arrivingBytes) - this.#arrivingBytes;
    return Math.max(0, Math.floor(bytes / this.limits.frameBytesMax));
  }
}
