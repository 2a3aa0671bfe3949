// A receiver link: granting credit, putting deliveries together, settling them (part 2, 2.6.7, 2.6.12, 2.6.14).
//
// What happens to a delivery that did not come settled:
//
//   received ──── settle(state) ────────────────────────────────────────────▶ settled   (receiver settles first)
//   received ──── settle(state) ──▶ answer awaited ──── peer: settled ──────▶ settled   (receiver settles second)
//
// In the second case the peer's answer, which may tell another state, reaches the owner through `onSettled`; so does a
// settlement that the peer makes by itself, for example when a lock has run out.
import type { DeliveryState } from "../message/delivery-state.ts";
import type { DeliveryTable } from "./delivery-table.ts";
import { copyBytes } from "../codec/bytes.ts";
import { ProtocolError, conditions } from "../codec/errors.ts";
import { Link } from "./link.ts";
import type { LinkEnd, LinkHost, LinkOptions, Settleable } from "./link.ts";
import { MessageView } from "../message/message.ts";
import type { Attach } from "../frame/performatives.ts";
import { serialAdd, serialDistance } from "../codec/serial.ts";
import type { Flow, LinkFlow, Transfer } from "../frame/transfers.ts";

/** Plain callbacks; none may throw. */
export interface ReceiverEvents {
  /** The peer has attached its end. */
  onAttach?(receiver: Receiver, remote: Attach): void;
  /** A whole message has come. */
  onDelivery(delivery: Delivery): void;
  /**
   * A message has come that is larger than the link takes; `length` is its size, and its bytes are not there. Settle it with
   * what becomes of it. Without this the link is closed with `amqp:link:message-size-exceeded`.
   */
  onTooLarge?(delivery: Delivery, length: number): void;
  /**
   * The socket's present bytes hold no further delivery of this link: the deliveries since the last call are one batch. It may
   * come after `onDetach`, when the same bytes ended the link.
   */
  onDeliveriesEnd?(receiver: Receiver): void;
  /** The peer has settled a delivery: in answer to `settle`, or by itself. */
  onSettled?(delivery: Delivery, state: DeliveryState | undefined): void;
  /** A drain is done: the credit is used up or given back. */
  onDrained?(receiver: Receiver): void;
  /** The link is over. `unsettled` can no longer be settled on it; those with a `state` were, but the peer has not answered. */
  onDetach?(receiver: Receiver, end: LinkEnd, unsettled: readonly Delivery[]): void;
}

/** What a receiver needs of its session. */
export interface ReceiverHost extends LinkHost {
  readonly incoming: DeliveryTable<Settleable>;
  settleIncoming(id: number, state: DeliveryState | undefined, settled: boolean): void;
  /** Has the link's flow written at the end of this tick. */
  requestLinkFlow(receiver: Receiver): void;
  /** Counts bytes of messages that have only partly come; throws when they are too many. */
  holdPartial(bytes: number): void;
  /** Has `onDeliveriesEnd` called when the present bytes are read. */
  noteDelivery(receiver: Receiver): void;
}

/** A message that came in. Its bytes stay valid for as long as it is held; see message.ts. */
export class Delivery implements Settleable {
  readonly receiver: Receiver;
  readonly id: number;
  readonly messageFormat: number;
  readonly message: MessageView;
  /** Whether `settle` settles; else the sender's answer does. As the link has it, unless the sender asked for this one to be. */
  readonly settlesFirst: boolean;
  /** Nothing more will be said of it, by either side. */
  settled: boolean;
  /** What `settle` told. */
  state: DeliveryState | undefined = undefined;
  /** The owner's own, to find again what it made of the delivery. */
  context: unknown = undefined;
  readonly #tagBytes: Buffer;
  readonly #tagStart: number;
  readonly #tagEnd: number;

  constructor(
    receiver: Receiver,
    id: number,
    messageFormat: number,
    settlesFirst: boolean,
    settled: boolean,
    message: MessageView,
    tagBytes: Buffer,
    tagStart: number,
    tagEnd: number,
  ) {
    this.receiver = receiver;
    this.settlesFirst = settlesFirst;
    this.id = id;
    this.messageFormat = messageFormat;
    this.settled = settled;
    this.message = message;
    this.#tagBytes = tagBytes;
    this.#tagStart = tagStart;
    this.#tagEnd = tagEnd;
  }

  /** The delivery tag: a slice of the bytes that came in. */
  get tag(): Buffer {
    return this.#tagBytes.subarray(this.#tagStart, this.#tagEnd);
  }

  /**
   * Tells the peer what became of the message, at the end of this tick. Returns false when that can no longer be said, or has
   * been. Throws a ProtocolError (`amqp:frame-size-too-small`) for a state that does not fit into a frame that the peer takes.
   */
  settle(state: DeliveryState): boolean {
    return this.receiver.settle(this, state);
  }

  get link(): Link {
    return this.receiver;
  }

  onDisposition(state: DeliveryState | undefined, settled: boolean): void {
    this.receiver.onDisposition(this, state, settled);
  }
}

const noBytes = Buffer.alloc(0);
const partialBytesMin = 1_024;

/** More credit than this does not fit into serial number arithmetic. */
const creditMax = 0x7fff_ffff;

/** A message of which frames are still to come. It grows by doubling, so small frames cannot cost more than their bytes. */
class Partial {
  readonly id: number;
  readonly messageFormat: number;
  readonly settlesFirst: boolean;
  readonly tag: Buffer;
  settled = false;
  bytes: Buffer = noBytes;
  /** Bytes that have come; those of a message that is too large are not kept. */
  length = 0;
  tooLarge = false;

  constructor(id: number, messageFormat: number, settlesFirst: boolean, tag: Buffer) {
    this.id = id;
    this.messageFormat = messageFormat;
    this.settlesFirst = settlesFirst;
    this.tag = tag;
  }

  append(source: Buffer, start: number, end: number): void {
    const needed = this.length + end - start;
    if (needed > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2, partialBytesMin));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    copyBytes(source, this.bytes, this.length, start, end);
    this.length = needed;
  }
}

export class Receiver extends Link {
  protected readonly host: ReceiverHost;
  readonly #events: ReceiverEvents;
  readonly #messageBytesMax: number;
  /** Valid from the peer's attach on. */
  #deliveryCount = 0;
  #credit = 0;
  #draining = false;
  #partial: Partial | undefined;
  /** Whether the batch that is being read holds a delivery of this link. */
  inBatch = false;

  constructor(host: ReceiverHost, handle: number, options: LinkOptions, events: ReceiverEvents) {
    super("receiver", handle, options);
    this.host = host;
    this.#events = events;
    this.#messageBytesMax = options.maxMessageSize || host.limits.messageBytesMax;
  }

  /** Deliveries that were asked for and have not come. */
  get credit(): number {
    return this.#credit;
  }

  /** Whether a drain is going on. */
  get draining(): boolean {
    return this.#draining;
  }

  /**
   * Asks for `count` more deliveries, a whole number; 0 or less does nothing, and credit stops at 2^31 - 1. All that is
   * asked for in a tick goes out in one flow. A peer that uses it brings what is unsettled in the session towards the limit
   * `unsettledMax`, where the session ends; so credit and unsettled deliveries together should stay below it. What is added while a drain
   * goes on is drained with the rest.
   */
  addCredit(count: number): void {
    if (!Number.isInteger(count)) throw new RangeError(`credit: expected a whole number, got ${count}`);
    if (this.state.at === "detaching" || this.state.at === "detached" || count <= 0) return;
    this.#credit = Math.min(this.#credit + count, creditMax);
    this.#requestFlow();
  }

  /** Asks for what there is now, up to the credit, and the rest of the credit back. `onDrained` follows. */
  drain(): void {
    if (this.state.at === "detaching" || this.state.at === "detached" || this.#draining) return;
    this.#draining = true;
    if (this.#credit > 0 || this.#partial !== undefined) this.#requestFlow();
    else this.host.later(() => this.#checkDrained());
  }

  /** Before the peer's attach its delivery-count is not known; the flow follows when it is. */
  #requestFlow(): void {
    if (this.state.at === "attached") this.host.requestLinkFlow(this);
  }

  /** As `delivery.settle(state)`. */
  settle(delivery: Delivery, state: DeliveryState): boolean {
    if (delivery.settled || delivery.state !== undefined || this.state.at === "detaching" || this.state.at === "detached") return false;
    const first = delivery.settlesFirst;
    this.host.settleIncoming(delivery.id, state, first);
    delivery.state = state;
    if (first) {
      delivery.settled = true;
      this.host.incoming.delete(delivery.id);
    }
    return true;
  }

  // For the session and its deliveries:

  override attachFields(): ReturnType<Link["attachFields"]> {
    return { ...super.attachFields(), maxMessageSize: this.#messageBytesMax };
  }

  /** Whether a delivery has begun of which frames are still to come. */
  get isMidDelivery(): boolean {
    return this.#partial !== undefined;
  }

  /** A transfer of this link; its payload is `bytes[start, end)`. */
  onTransfer(transfer: Transfer, bytes: Buffer, start: number, end: number): void {
    const partial = this.#partial;
    if (partial !== undefined) {
      this.#continue(partial, transfer, bytes, start, end);
      return;
    }
    if (transfer.deliveryId < 0) throw new ProtocolError(conditions.invalidField, "expected a delivery-id in the first transfer of a delivery", "session");
    if (transfer.resume) throw new ProtocolError(conditions.notImplemented, "expected no resumed delivery: links are not resumed here", "link");
    if (this.#credit <= 0) throw new ProtocolError(conditions.transferLimitExceeded, "expected no transfer without link credit", "link");
    const settlesFirst = this.#settlesFirst(transfer);
    this.#deliveryCount = serialAdd(this.#deliveryCount, 1);
    this.#credit--;
    if (transfer.more) {
      this.#partial = new Partial(transfer.deliveryId, transfer.messageFormat, settlesFirst, Buffer.from(bytes.subarray(transfer.tagStart, transfer.tagEnd)));
      this.#continue(this.#partial, transfer, bytes, start, end);
      return;
    }
    if (!transfer.aborted) {
      const tooLarge = end - start > this.#messageBytesMax;
      if (tooLarge) this.#requireTooLarge();
      const delivery = this.#take(
        transfer.deliveryId,
        transfer.messageFormat,
        settlesFirst,
        transfer.settled,
        new MessageView(bytes, start, tooLarge ? start : end),
        bytes,
        transfer.tagStart,
        transfer.tagEnd,
      );
      if (tooLarge) this.#events.onTooLarge?.(delivery, end - start);
      else this.#events.onDelivery(delivery);
    }
    this.#checkDrained();
  }

  /** A sender may ask for one delivery to be settled first on a link that settles second, but not the other way (part 2, 2.7.5). */
  #settlesFirst({ receiverSettleMode }: Transfer): boolean {
    const linkSettlesFirst = this.receiverSettleMode === "first";
    if (receiverSettleMode < 0) return linkSettlesFirst;
    if (receiverSettleMode > 1 || (receiverSettleMode === 1 && linkSettlesFirst))
      throw new ProtocolError(conditions.invalidField, "expected no rcv-settle-mode second of a delivery on a link that settles first", "link");
    return receiverSettleMode === 0;
  }

  #continue(partial: Partial, transfer: Transfer, bytes: Buffer, start: number, end: number): void {
    if (transfer.deliveryId >= 0 && transfer.deliveryId !== partial.id) {
      throw new ProtocolError(conditions.notAllowed, `expected the rest of delivery ${partial.id}, found delivery ${transfer.deliveryId}`, "session");
    }
    partial.settled ||= transfer.settled;
    if (transfer.aborted) this.#dropPartial();
    else {
      this.#append(partial, bytes, start, end);
      if (transfer.more) return;
      this.#dropPartial();
      const delivery = this.#take(
        partial.id,
        partial.messageFormat,
        partial.settlesFirst,
        partial.settled,
        new MessageView(partial.bytes, 0, partial.tooLarge ? 0 : partial.length),
        partial.tag,
        0,
        partial.tag.length,
      );
      if (partial.tooLarge) this.#events.onTooLarge?.(delivery, partial.length);
      else this.#events.onDelivery(delivery);
    }
    this.#checkDrained();
  }

  #append(partial: Partial, bytes: Buffer, start: number, end: number): void {
    if (!partial.tooLarge && partial.length + end - start > this.#messageBytesMax) {
      this.#requireTooLarge();
      this.host.holdPartial(-partial.length);
      partial.tooLarge = true;
      partial.bytes = noBytes;
    }
    if (partial.tooLarge) {
      partial.length += end - start;
      return;
    }
    this.host.holdPartial(end - start);
    partial.append(bytes, start, end);
  }

  #dropPartial(): void {
    if (this.#partial === undefined) return;
    if (!this.#partial.tooLarge) this.host.holdPartial(-this.#partial.length);
    this.#partial = undefined;
  }

  /** Ends the link on a message that is too large, unless its owner wants to be notified. */
  #requireTooLarge(): void {
    if (this.#events.onTooLarge === undefined)
      throw new ProtocolError(conditions.messageSizeExceeded, `expected a message of at most ${this.#messageBytesMax} bytes`, "link");
  }

  #take(
    id: number,
    messageFormat: number,
    settlesFirst: boolean,
    settled: boolean,
    message: MessageView,
    tagBytes: Buffer,
    tagStart: number,
    tagEnd: number,
  ): Delivery {
    const delivery = new Delivery(this, id, messageFormat < 0 ? 0 : messageFormat, settlesFirst, settled, message, tagBytes, tagStart, tagEnd);
    const { host } = this;
    if (!settled) {
      if (host.incoming.size >= host.limits.unsettledMax)
        throw new ProtocolError(conditions.resourceLimitExceeded, `expected at most ${host.limits.unsettledMax} unsettled deliveries`, "session");
      host.incoming.set(id, delivery);
    }
    if (!this.inBatch) {
      this.inBatch = true;
      host.noteDelivery(this);
    }
    return delivery;
  }

  /** The bytes that were read hold no further delivery. */
  endBatch(): void {
    this.inBatch = false;
    this.#events.onDeliveriesEnd?.(this);
  }

  onDisposition(delivery: Delivery, state: DeliveryState | undefined, settled: boolean): void {
    if (!settled) return;
    delivery.settled = true;
    this.host.incoming.delete(delivery.id);
    this.#events.onSettled?.(delivery, state);
  }

  /**
   * The sender's flow: it may have moved delivery-count on, giving credit back. While a delivery is under way the two sides
   * may count it differently, at its first frame or at its last; so a count that lies behind ours changes nothing.
   */
  onFlow(flow: Flow): void {
    if (flow.deliveryCount >= 0) {
      const given = serialDistance(this.#deliveryCount, flow.deliveryCount);
      if (given > 0) {
        this.#credit = Math.max(0, this.#credit - given);
        this.#deliveryCount = flow.deliveryCount;
      }
    }
    if (flow.echo) this.#requestFlow();
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (!this.#draining || this.#credit > 0 || this.#partial !== undefined) return;
    this.#draining = false;
    this.#events.onDrained?.(this);
  }

  flow(): LinkFlow {
    return { handle: this.handle, deliveryCount: this.#deliveryCount, linkCredit: this.#credit, drain: this.#draining };
  }

  protected attached(remote: Attach): void {
    this.#deliveryCount = remote.initialDeliveryCount ?? 0;
    if (this.#credit > 0 || this.#draining) this.#requestFlow();
  }

  protected announce(remote: Attach): void {
    this.#events.onAttach?.(this, remote);
  }

  protected detaching(): void {
    this.#dropPartial();
  }

  protected ended(end: LinkEnd, unsettled: readonly Settleable[]): void {
    this.#dropPartial();
    this.#draining = false;
    this.#events.onDetach?.(this, end, unsettled as readonly Delivery[]);
  }
}
