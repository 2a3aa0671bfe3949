// A sender link: credit, transfers in one frame or many, and what becomes of each delivery (part 2, 2.6.7, 2.6.12, 2.6.14).
//
// A delivery that was not sent settled is held until it is settled:
//
//   sent ──── peer: state, settled ──────────────────────────────────▶ settled    (receiver settles first)
//   sent ──── peer: state, not settled ──▶ answered ── settle() ─────▶ settled    (receiver settles second)
//
// Both reach the owner through `onOutcome`. In the second case the owner settles when it has made the outcome durable; a
// sender that was made with `settles: "itself"` does it at once.
import type { DeliveryState } from "../message/delivery-state.ts";
import type { DeliveryTable } from "./delivery-table.ts";
import { frameType } from "../frame/frames.ts";
import { tagBytesMax } from "../codec/limits.ts";
import { Link } from "./link.ts";
import type { LinkEnd, LinkHost, LinkOptions, Settleable } from "./link.ts";
import type { Attach } from "../frame/performatives.ts";
import { serialAdd, serialDistance } from "../codec/serial.ts";
import { writeContinuation, writeTransfer } from "../frame/transfers.ts";
import type { Flow, LinkFlow } from "../frame/transfers.ts";

/** An encoded message: whole, or in slices that follow one another. The bytes must not change until the delivery is settled. */
export type Payload = Uint8Array | readonly Uint8Array[];

export interface SenderOptions extends LinkOptions {
  /** Who settles a delivery whose outcome the receiver has told but not settled. Default itself. */
  readonly settles?: "itself" | "owner" | undefined;
  /** Where delivery-count starts. Default 0. */
  readonly initialDeliveryCount?: number | undefined;
}

/** Plain callbacks; none may throw. */
export interface SenderEvents<Context> {
  /** The peer has attached its end. */
  onAttach?(sender: Sender<Context>, remote: Attach): void;
  /** The receiver has set its credit again, to less or to more. */
  onCredit?(sender: Sender<Context>): void;
  /** There may be more room than before: see `capacity`. */
  onSendable?(sender: Sender<Context>): void;
  /** The receiver wants its credit used or given back: send what there is, then call `drained`. Without this it is given back at once. */
  onDrain?(sender: Sender<Context>): void;
  /**
   * The receiver has told something of a delivery: what became of it, or no more than that it was `received`. `state` is
   * undefined when it settled without an outcome. When `settled` is false, more may follow.
   */
  onOutcome?(delivery: OutgoingDelivery<Context>, state: DeliveryState | undefined, settled: boolean): void;
  /** The link is over. What became of the deliveries that are not settled will not be told any more. */
  onDetach?(sender: Sender<Context>, end: LinkEnd, unsettled: readonly OutgoingDelivery<Context>[]): void;
}

/** What a sender needs of its session. */
export interface SenderHost extends LinkHost {
  /** Deliveries that may begin now, links apart: the window of frames, room for unsettled ones, and what the socket takes. */
  sendRoom(): number;
  /** Frames that the peer's window still takes. */
  readonly framesLeft: number;
  /** Whether the peer does not take what was written. */
  readonly isBlocked: boolean;
  /** Counts one transfer frame. */
  countFrame(): void;
  takeDeliveryId(): number;
  readonly outgoing: DeliveryTable<Settleable>;
  settleOutgoing(id: number, state: DeliveryState | undefined): void;
  /** Calls `resume` when there is room again. */
  waitForRoom(sender: Sender): void;
  writeLinkFlow(link: Link): void;
}

/** More than the head and performative of any transfer take: 8 + 3 + 3 + handle 5 + id 5 + tag 34 + format 5 + settled 1 + more 1 + nulls 5. */
const transferHeadBytes = 72;

/** More credit than this does not fit into serial number arithmetic. */
const creditMax = 0x7fff_ffff;

/** One message on its way. */
export class OutgoingDelivery<Context = unknown> implements Settleable {
  readonly sender: Sender<Context>;
  readonly id: number;
  readonly tag: Uint8Array;
  readonly context: Context;
  /** Nothing more will be said of it, by either side. */
  settled: boolean;
  /** What the receiver told last. */
  state: DeliveryState | undefined = undefined;

  constructor(sender: Sender<Context>, id: number, tag: Uint8Array, context: Context, settled: boolean) {
    this.sender = sender;
    this.id = id;
    this.tag = tag;
    this.context = context;
    this.settled = settled;
  }

  /**
   * Settles, telling the receiver `state`. Returns false when the delivery was settled before. Throws a ProtocolError
   * (`amqp:frame-size-too-small`) for a state that does not fit into a frame that the peer takes.
   */
  settle(state?: DeliveryState): boolean {
    return this.sender.settle(this, state);
  }

  get link(): Link {
    return this.sender;
  }

  onDisposition(state: DeliveryState | undefined, settled: boolean): void {
    this.sender.onDisposition(this, state, settled);
  }
}

/** A delivery of which some frames are still to be sent. */
interface Unfinished {
  readonly delivery: OutgoingDelivery;
  readonly slices: readonly Uint8Array[];
  readonly settled: boolean;
  /** Where the next frame's payload begins. */
  slice: number;
  offset: number;
  left: number;
}

export class Sender<Context = unknown> extends Link {
  protected readonly host: SenderHost;
  readonly #events: SenderEvents<Context>;
  readonly #settlesItself: boolean;
  #deliveryCount: number;
  #credit = 0;
  #draining = false;
  #unfinished: Unfinished | undefined;
  /** That which was unfinished when the link ended. */
  #cutOff: OutgoingDelivery | undefined;
  #nextTag = 0;
  readonly #initialDeliveryCount: number;

  constructor(host: SenderHost, handle: number, options: SenderOptions, events: SenderEvents<Context>) {
    super("sender", handle, options);
    this.host = host;
    this.#events = events;
    this.#settlesItself = options.settles !== "owner";
    this.#initialDeliveryCount = options.initialDeliveryCount ?? 0;
    this.#deliveryCount = this.#initialDeliveryCount;
  }

  /** Deliveries that the receiver has asked for and not got. */
  get credit(): number {
    return this.#credit;
  }

  /** Whether the receiver waits for its credit to be used or given back. */
  get draining(): boolean {
    return this.#draining;
  }

  /** The delivery of which the peer has not been sent all: the last one sent, or none. After the link's end it never will be. */
  get incomplete(): OutgoingDelivery | undefined {
    return this.#unfinished?.delivery ?? this.#cutOff;
  }

  /**
   * Deliveries that can be sent now. When that is fewer than the credit, `onSendable` is called once there is room again.
   */
  capacity(): number {
    if (this.#credit === 0 || this.state.at !== "attached") return 0;
    const room = this.#unfinished === undefined ? this.host.sendRoom() : 0;
    if (room >= this.#credit) return this.#credit;
    this.host.waitForRoom(this);
    return room;
  }

  /**
   * Sends a message whose outcome will be told through `onOutcome`; on a link whose sender settle mode is settled, as
   * `sendSettled`. Returns undefined, and sends nothing, when there is no
   * capacity. Whatever is sent in one tick is one write to the socket. Throws a RangeError for a message that is larger than
   * the peer takes (see `remote.maxMessageSize`) or a tag of more than 32 bytes. `context` is the owner's own and comes back
   * with the outcome. `tag` must be unique among the unsettled deliveries of the link; undefined makes one of four bytes.
   * `messageFormat` 0 is a message of part 3.
   */
  send(payload: Payload, context: Context, tag?: Uint8Array, messageFormat = 0): OutgoingDelivery<Context> | undefined {
    return this.#send(payload, context, tag, messageFormat, this.senderSettleMode === "settled");
  }

  /** Sends a message settled: the peer says nothing more about it. Returns undefined, and sends nothing, when there is no capacity. */
  sendSettled(payload: Payload, context: Context, tag?: Uint8Array, messageFormat = 0): OutgoingDelivery<Context> | undefined {
    if (this.senderSettleMode === "unsettled") throw new TypeError(`link ${this.name}: expected only unsettled deliveries, as its settle mode is unsettled`);
    return this.#send(payload, context, tag, messageFormat, true);
  }

  #send(payload: Payload, context: Context, tag: Uint8Array | undefined, messageFormat: number, settled: boolean): OutgoingDelivery<Context> | undefined {
    if (this.capacity() === 0) return undefined;
    if (tag !== undefined && tag.length > tagBytesMax) throw new RangeError(`delivery tag: expected at most ${tagBytesMax} bytes, got ${tag.length}`);
    const length = payloadBytes(payload);
    const lengthMax = this.remote?.maxMessageSize ?? 0;
    if (lengthMax > 0 && length > lengthMax)
      throw new RangeError(`message: expected at most ${lengthMax} bytes, which the peer takes on link ${this.name}, got ${length}`);
    const { host } = this;
    const id = host.takeDeliveryId();
    const delivery = new OutgoingDelivery(this, id, tag ?? this.#makeTag(), context, settled);
    if (!settled) host.outgoing.set(id, delivery);
    this.#deliveryCount = serialAdd(this.#deliveryCount, 1);
    this.#credit--;
    this.#begin(delivery, payload, length, messageFormat);
    host.requestFlush();
    return delivery;
  }

  #makeTag(): Uint8Array {
    const tag = Buffer.allocUnsafe(4);
    tag.writeUInt32BE(this.#nextTag);
    this.#nextTag = serialAdd(this.#nextTag, 1);
    return tag;
  }

  #begin(delivery: OutgoingDelivery<Context>, payload: Payload, length: number, messageFormat: number): void {
    const { host } = this;
    const { output } = host;
    const room = output.frameBytesMax - transferHeadBytes;
    const whole = length <= room;
    output.beginFrame(frameType.amqp, host.channel);
    writeTransfer(output, this.handle, delivery.id, delivery.tag, messageFormat, delivery.settled, !whole);
    output.endFrame(whole ? length : room);
    host.countFrame();
    if (whole) {
      if (payload instanceof Uint8Array) output.append(payload, 0, length);
      else for (const slice of payload) output.append(slice, 0, slice.length);
      return;
    }
    const slices = payload instanceof Uint8Array ? [payload] : payload;
    this.#unfinished = { delivery, slices, settled: delivery.settled, slice: 0, offset: 0, left: length };
    this.#appendUnfinished(this.#unfinished, room);
    this.#continue();
  }

  /** Sends further frames of an unfinished delivery, as many as the window and the socket take. */
  #continue(): void {
    const { host } = this;
    const { output } = host;
    const unfinished = this.#unfinished;
    if (unfinished === undefined) return;
    while (unfinished.left > 0 && host.framesLeft > 0 && !host.isBlocked) {
      const length = Math.min(unfinished.left, output.frameBytesMax - transferHeadBytes);
      output.beginFrame(frameType.amqp, host.channel);
      writeContinuation(output, this.handle, unfinished.settled, unfinished.left > length);
      output.endFrame(length);
      host.countFrame();
      this.#appendUnfinished(unfinished, length);
    }
    if (unfinished.left === 0) this.#unfinished = undefined;
    else host.waitForRoom(this);
    host.requestFlush();
  }

  #appendUnfinished(unfinished: Unfinished, length: number): void {
    unfinished.left -= length;
    for (let left = length; left > 0;) {
      const slice = unfinished.slices[unfinished.slice]!;
      const take = Math.min(left, slice.length - unfinished.offset);
      this.host.output.append(slice, unfinished.offset, unfinished.offset + take);
      unfinished.offset += take;
      left -= take;
      if (unfinished.offset === slice.length) {
        unfinished.slice++;
        unfinished.offset = 0;
      }
    }
  }

  /** Gives back what is left of the credit to a receiver that drains (part 2, 2.6.7). */
  drained(): void {
    if (!this.#draining || this.state.at !== "attached") return;
    this.#deliveryCount = serialAdd(this.#deliveryCount, this.#credit);
    this.#credit = 0;
    this.host.writeLinkFlow(this);
    this.#draining = false;
  }

  /** As `delivery.settle(state)`. */
  settle(delivery: OutgoingDelivery<Context>, state: DeliveryState | undefined): boolean {
    if (delivery.settled || this.state.at === "detached") return false;
    this.host.settleOutgoing(delivery.id, state);
    delivery.settled = true;
    this.host.outgoing.delete(delivery.id);
    return true;
  }

  // For the session and its deliveries:

  override attachFields(): ReturnType<Link["attachFields"]> {
    return { ...super.attachFields(), initialDeliveryCount: this.#initialDeliveryCount };
  }

  onDisposition(delivery: OutgoingDelivery<Context>, state: DeliveryState | undefined, settled: boolean): void {
    delivery.state = state ?? delivery.state;
    if (settled) {
      delivery.settled = true;
      this.host.outgoing.delete(delivery.id);
    }
    this.#events.onOutcome?.(delivery, state, settled);
    if (this.#settlesItself && !settled && state?.isOutcome === true) this.settle(delivery, state);
  }

  /** The receiver's flow sets what the credit is by how far delivery-count may go (part 2, 2.6.7). */
  takeCredit(flow: Flow): void {
    if (flow.linkCredit < 0) return;
    const base = flow.deliveryCount < 0 ? this.#initialDeliveryCount : flow.deliveryCount;
    this.#credit = Math.max(0, serialDistance(this.#deliveryCount, serialAdd(base, Math.min(flow.linkCredit, creditMax))));
    this.#draining = flow.drain;
  }

  onFlow(flow: Flow): void {
    this.takeCredit(flow);
    if (this.state.at !== "attached") return;
    this.#events.onCredit?.(this);
    if (flow.echo && !this.#draining) this.host.writeLinkFlow(this);
    this.#announceRoom();
  }

  /** There is room again. */
  resume(): void {
    if (this.state.at !== "attached") return;
    this.#continue();
    if (this.#unfinished === undefined) this.#announceRoom();
  }

  #announceRoom(): void {
    if (this.#draining && this.#unfinished === undefined) {
      if (this.#events.onDrain === undefined) this.drained();
      else this.#events.onDrain(this);
    } else if (this.capacity() > 0) this.#events.onSendable?.(this);
  }

  flow(): LinkFlow {
    return { handle: this.handle, deliveryCount: this.#deliveryCount, linkCredit: this.#credit, drain: this.#draining };
  }

  protected attached(): void {
    if (this.#credit > 0 || this.#draining) this.host.later(() => this.resume());
  }

  protected announce(remote: Attach): void {
    this.#events.onAttach?.(this, remote);
  }

  protected detaching(): void {
    this.#cutOff = this.incomplete;
    this.#unfinished = undefined;
  }

  protected ended(end: LinkEnd, unsettled: readonly Settleable[]): void {
    this.#cutOff = this.incomplete;
    this.#unfinished = undefined;
    this.#events.onDetach?.(this, end, unsettled as readonly OutgoingDelivery<Context>[]);
  }
}

function payloadBytes(payload: Payload): number {
  if (payload instanceof Uint8Array) return payload.length;
  let length = 0;
  for (const slice of payload) length += slice.length;
  return length;
}
