// A peer that keeps count. It hears what the engine writes and answers it: sessions, links, credit, drains, settlements of
// both kinds, detaches and ends. So a case comes deep before anything hostile is said, and a peer that never says anything
// hostile must never be told that it did.
import { accepted, modified, rejected, released } from "#runtime/amqp/message/delivery-state.ts";
import { describedValueAt, descriptor, descriptorAt } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { FieldReader } from "#runtime/amqp/codec/fields.ts";
import { frameType, protocolHeader, protocolId } from "#runtime/amqp/frame/frames.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { readAttach, readBegin, readDetach } from "#runtime/amqp/frame/performatives.ts";
import type { Attach } from "#runtime/amqp/frame/performatives.ts";
import { serialAdd, serialDistance } from "#runtime/amqp/codec/serial.ts";
import { encodeSource, encodeTarget } from "#runtime/amqp/message/terminus.ts";
import { Disposition, Flow, Transfer } from "#runtime/amqp/frame/transfers.ts";
import { Raw, Typed, symbol, symbolMap, symbols, ubyte, uint, ulong, ushort } from "#runtime/amqp/codec/types.ts";
import type { Encodable } from "#runtime/amqp/codec/types.ts";
import type { Random } from "../random.ts";
import { anyValue, frame } from "./traffic.ts";

const states: readonly Raw[] = [
  accepted,
  accepted,
  released,
  modified({ deliveryFailed: true, messageAnnotations: { a: 1 } }),
  rejected({ condition: "x:y", description: "z", info: { a: "b" } }),
].map((state) => new Raw(state.bytes));
const handlesMax = 8;
const windowFrames = 1_000;

/** A link, as the peer numbers it. */
interface PeerLink {
  readonly name: string;
  readonly handle: number;
  readonly isSender: boolean;
  /** The engine's handle; -1 before its attach. */
  engineHandle: number;
  detachSent: boolean;
  deliveryCount: number;
  /** What the receiver, be it the engine or the peer, asked for and has not got. */
  credit: number;
  /** A sender's: a delivery of which frames are to come. */
  isMidDelivery: boolean;
}

/** How wrong a peer is: the chance that a field of what it says is another. */
export interface PeerOptions {
  readonly isServer: boolean;
  readonly wrongFields: number;
}

export class Peer {
  readonly #random: Random;
  readonly #options: PeerOptions;
  /** What the engine's frames call for. */
  readonly #due: (() => Buffer)[] = [];
  /** What the words that are on their way do to what the engine may send. */
  readonly #effects: (() => void)[] = [];
  /** Whether anything was said, by the peer or in its name, that need not be borne. */
  wasWrong = false;
  #session: "none" | "begun" | "mapped" | "ended" = "none";
  #engineChannel = -1;
  /** Handles of links that the engine ended before its attach was answered. */
  readonly #overBeforeAnswer = new Set<number>();
  readonly #links: PeerLink[] = [];
  #names = 0;
  #nextOutgoingId = 0;
  #nextDeliveryId = 0;
  #nextIncomingId = 0;
  /** Transfer frames that the engine takes, and that it may send. */
  #windowLeft = 0;
  #windowGiven = 0;
  /** The engine's deliveries that are not settled, in their order. */
  readonly #theirs: number[] = [];
  /** Ours that the engine has told an outcome of and waits for the answer. */
  readonly #ours: { readonly first: number; readonly last: number }[] = [];

  constructor(random: Random, options: PeerOptions) {
    this.#random = random;
    this.#options = options;
  }

  /** Header, SASL as the engine expects it, and open. */
  opening(sasl: boolean): Buffer[] {
    const parts: Buffer[] = [];
    if (sasl) {
      parts.push(protocolHeader(protocolId.sasl));
      const { isServer } = this.#options;
      if (isServer)
        parts.push(
          frame(encodeComposite(descriptor.saslMechanisms, [symbols(["ANONYMOUS", "PLAIN"])]), 0, frameType.sasl),
          frame(encodeComposite(descriptor.saslOutcome, [ubyte(0)]), 0, frameType.sasl),
        );
      else parts.push(frame(encodeComposite(descriptor.saslInit, [symbol("ANONYMOUS"), Buffer.from("x")]), 0, frameType.sasl));
    }
    const maxFrameSize = this.#random.pick([512, 600, 4_096, 65_536, 0xffff_ffff]);
    const open = ["fuzz", undefined, uint(maxFrameSize), ushort(this.#random.pick([3, 0xffff])), this.#random.chance(0.2) ? uint(1_000) : undefined];
    parts.push(protocolHeader(protocolId.amqp), this.#say(descriptor.open, open));
    return parts;
  }

  // What is said.

  #say(code: number, fields: Encodable[], payload?: Uint8Array): Buffer {
    const random = this.#random;
    if (fields.length > 0 && random.chance(this.#options.wrongFields)) this.#spoil(fields);
    const body = encodeComposite(code, fields);
    return frame(payload === undefined ? body : Buffer.concat([body, payload]));
  }

  /** Makes one field another: mostly a number another number, for a field of another type ends every case alike. */
  #spoil(fields: Encodable[]): void {
    const random = this.#random;
    this.wasWrong = true;
    const numbers = [...fields.entries()].filter(([, field]) => field instanceof Typed && field.type === "uint");
    const [index, field] = numbers.length > 0 && random.chance(0.8) ? random.pick(numbers) : [random.below(fields.length), undefined];
    if (field instanceof Typed && field.type === "uint")
      fields[index] = uint(random.chance(0.5) ? random.edge() : serialAdd(field.value, random.pick([1, -1, 2, -2, 0x7fff_ffff])));
    else fields[index] = random.pick([undefined, random.chance(0.5), anyValue(random)]);
  }

  /** What was said last has come whole: what it gives and takes back counts from here on. */
  said(): void {
    for (const effect of this.#effects.splice(0)) effect();
  }

  /** What comes next: what is due, else something of the peer's own. */
  next(): Buffer {
    const random = this.#random;
    const due = this.#due.shift();
    if (due !== undefined) return due();
    if (this.#session === "none" || this.#session === "ended") return this.#begin(undefined);
    if (this.#session === "begun") return frame(Buffer.alloc(0));
    const open = this.#links.filter((link) => link.engineHandle >= 0 && !link.detachSent);
    const senders = open.filter((link) => link.isSender && (link.credit > 0 || link.isMidDelivery));
    const receivers = open.filter((link) => !link.isSender);
    if (open.length > 0 && random.chance(this.#options.wrongFields)) return this.#overstep(random.pick(open));
    const roll = random.below(100);
    if (roll < 1 && random.chance(0.3)) return this.#say(descriptor.close, []);
    if (roll < 2) return this.#end();
    if (roll < 5 && open.length > 0) return this.#detach(random.pick(open), random.chance(0.7));
    if ((roll < 12 || open.length === 0) && this.#links.length < handlesMax) return this.#attach(random.chance(0.5), `link ${this.#names++}`);
    if (roll < 25) return this.#flow(receivers.length > 0 && random.chance(0.8) ? random.pick(receivers) : undefined, random.chance(0.2));
    if (roll < 45 && this.#theirs.length > 0) return this.#disposeTheirs();
    if (roll < 60 && this.#ours.length > 0) return this.#answerOurs();
    if (senders.length > 0 && this.#windowLeft > 0) return this.#transfer(random.pick(senders));
    return this.#flow(receivers[0], random.chance(0.1));
  }

  #begin(answers: number | undefined): Buffer {
    this.#session = answers === undefined ? "begun" : "mapped";
    this.#links.length = this.#theirs.length = this.#ours.length = 0;
    this.#overBeforeAnswer.clear();
    this.#nextOutgoingId = this.#random.pick([0, 0xffff_fff0]);
    this.#nextDeliveryId = this.#random.pick([0, 0xffff_fff0, 77]);
    this.#windowGiven = this.#random.pick([1, 5, windowFrames]);
    return this.#say(descriptor.begin, [
      answers === undefined ? undefined : ushort(answers),
      uint(this.#nextOutgoingId),
      uint(this.#windowGiven),
      uint(windowFrames),
      uint(handlesMax - 1),
    ]);
  }

  #end(): Buffer {
    this.#session = "ended";
    this.#due.length = this.#links.length = 0;
    return this.#say(descriptor.end, []);
  }

  #attach(isSender: boolean, name: string, answers?: Attach): Buffer {
    const random = this.#random;
    const taken = new Set(this.#links.map((link) => link.handle));
    const handle = Array.from({ length: handlesMax }, (_, index) => index).find((index) => !taken.has(index)) ?? handlesMax;
    const link: PeerLink = {
      name,
      handle,
      isSender,
      engineHandle: answers?.handle ?? -1,
      detachSent: false,
      deliveryCount: isSender ? random.pick([0, 0xffff_ffff]) : (answers?.initialDeliveryCount ?? 0),
      credit: 0,
      isMidDelivery: false,
    };
    this.#links.push(link);
    const accepts = answers === undefined || random.chance(0.9);
    const isOver = answers !== undefined && this.#overBeforeAnswer.delete(answers.handle);
    const attach = this.#say(descriptor.attach, [
      name,
      uint(handle),
      !isSender,
      ubyte(answers === undefined ? random.below(3) : 2),
      ubyte(random.below(2)),
      accepts ? encodeSource({ address: "q", filter: { f: anyValue(random) } }) : undefined,
      accepts ? encodeTarget({ address: "q" }) : undefined,
      random.chance(0.1) ? new Map([[random.bytes(4), random.pick(states)]]) : undefined,
      undefined,
      isSender ? uint(link.deliveryCount) : undefined,
      ulong(random.pick([0, 400, 1_048_576])),
      undefined,
      undefined,
      symbolMap({ p: anyValue(random) }),
    ]);
    if (accepts && !isOver) return attach;
    const both = Buffer.concat([attach, this.#detach(link, true)]);
    // With both ends over, its handles are free for others.
    if (isOver) this.#links.splice(this.#links.indexOf(link), 1);
    return both;
  }

  #detach(link: PeerLink, closed: boolean): Buffer {
    link.detachSent = true;
    return this.#say(descriptor.detach, [uint(link.handle), closed]);
  }

  #flow(link: PeerLink | undefined, echo: boolean): Buffer {
    const random = this.#random;
    const window = random.pick([0, 3, windowFrames, windowFrames]);
    const windowEnd = serialAdd(this.#nextIncomingId, window);
    this.#effects.push(() => (this.#windowGiven = serialDistance(this.#nextIncomingId, windowEnd)));
    const fields: Encodable[] = [uint(this.#nextIncomingId), uint(window), uint(this.#nextOutgoingId), uint(windowFrames)];
    if (link === undefined) fields.push(undefined, undefined, undefined, undefined, undefined, echo);
    else {
      const credit = link.isSender ? Math.max(0, link.credit) : random.pick([0, 1, 10, 500, 0x7fff_ffff]);
      const creditEnd = serialAdd(link.deliveryCount, credit);
      if (!link.isSender) this.#effects.push(() => (link.credit = serialDistance(link.deliveryCount, creditEnd)));
      fields.push(
        uint(link.handle),
        uint(link.deliveryCount),
        uint(credit),
        random.chance(0.1) ? uint(3) : undefined,
        !link.isSender && random.chance(0.2),
        echo,
      );
    }
    return this.#say(descriptor.flow, fields);
  }

  #transfer(link: PeerLink): Buffer {
    const random = this.#random;
    const begins = !link.isMidDelivery;
    const id = this.#nextDeliveryId;
    if (begins) {
      this.#nextDeliveryId = serialAdd(id, 1);
      link.deliveryCount = serialAdd(link.deliveryCount, 1);
      link.credit--;
    }
    const aborted = random.chance(0.03);
    link.isMidDelivery = !aborted && random.chance(0.3);
    this.#nextOutgoingId = serialAdd(this.#nextOutgoingId, 1);
    this.#windowLeft--;
    const fields = [
      uint(link.handle),
      begins ? uint(id) : undefined,
      begins ? random.bytes(random.below(33)) : undefined,
      begins ? uint(0) : undefined,
      random.chance(0.2),
      link.isMidDelivery,
      random.chance(0.1) ? ubyte(0) : undefined,
      undefined,
      undefined,
      aborted,
    ];
    return this.#say(descriptor.transfer, fields, random.chance(0.8) ? this.#message() : random.bytes(random.below(200)));
  }

  #message(): Buffer {
    const random = this.#random;
    return encodeMessage({
      header: { deliveryCount: random.below(3) },
      messageAnnotations: { a: anyValue(random) },
      properties: { messageId: "m", correlationId: anyValue(random, 0) },
      applicationProperties: { eventId: "e", v: anyValue(random) },
      body: random.chance(0.7) ? { data: random.bytes(random.below(300)) } : { value: anyValue(random) },
    });
  }

  /** Transfers that nobody asked for: without credit or window, on a link of the other direction, out of order. */
  #overstep(link: PeerLink): Buffer {
    const random = this.#random;
    this.wasWrong = true;
    if (random.chance(0.3)) this.#nextDeliveryId = serialAdd(this.#nextDeliveryId, random.pick([1, -1, 0x8000_0000]));
    return Buffer.concat(Array.from({ length: random.pick([1, 3, 80]) }, () => this.#transfer(link)));
  }

  /** Tells what became of a few of the engine's deliveries, as one range. */
  #disposeTheirs(): Buffer {
    const random = this.#random;
    const from = random.below(this.#theirs.length);
    const to = Math.min(this.#theirs.length - 1, from + random.below(10));
    const settled = random.chance(0.6);
    const [first, last] = [this.#theirs[from]!, this.#theirs[to]!];
    if (settled) this.#theirs.splice(from, to - from + 1);
    return this.#say(descriptor.disposition, [true, uint(first), uint(last), settled, random.chance(0.95) ? random.pick(states) : undefined]);
  }

  #answerOurs(): Buffer {
    const { first, last } = this.#ours.splice(this.#random.below(this.#ours.length), 1)[0]!;
    return this.#say(descriptor.disposition, [false, uint(first), first === last ? undefined : uint(last), true, this.#random.pick(states)]);
  }

  // What is heard.

  /** A frame that the engine wrote. */
  hear(bytes: Buffer, start: number, end: number, channel: number): void {
    const code = descriptorAt(bytes, start, end);
    const fields = new FieldReader().open(bytes, describedValueAt(bytes, start, end), end);
    if (code === descriptor.close) this.#due.push(() => frame(encodeComposite(descriptor.close, [])));
    else if (code === descriptor.begin) this.#hearBegin(channel, readBegin(fields));
    else if (channel === this.#engineChannel && this.#session !== "ended") this.#hearSession(code, fields);
    else if (code === descriptor.end && this.#session === "ended") this.#session = "none";
  }

  #hearBegin(channel: number, begin: ReturnType<typeof readBegin>): void {
    // One session at a time: another that the engine begins is not answered.
    if (begin.remoteChannel === undefined && this.#session !== "none") return;
    this.#engineChannel = channel;
    if (begin.remoteChannel === undefined) this.#due.push(() => this.#begin(channel));
    this.#session = "mapped";
    this.#nextIncomingId = begin.nextOutgoingId;
    this.#windowLeft = begin.incomingWindow;
  }

  #hearSession(code: number, fields: FieldReader): void {
    switch (code) {
      case descriptor.attach:
        this.#hearAttach(readAttach(fields));
        return;
      case descriptor.flow:
        this.#hearFlow(fields);
        return;
      case descriptor.transfer:
        this.#hearTransfer(fields);
        return;
      case descriptor.disposition:
        this.#hearDisposition(fields);
        return;
      case descriptor.detach:
        this.#hearDetach(readDetach(fields).handle);
        return;
      case descriptor.end:
        this.#due.length = 0;
        this.#due.push(() => {
          const end = this.#end();
          this.#session = "none";
          return end;
        });
    }
  }

  #hearAttach(attach: Attach): void {
    const known = this.#links.find((link) => link.name === attach.name && link.isSender === (attach.role === "receiver"));
    if (known === undefined) {
      this.#overBeforeAnswer.delete(attach.handle);
      if (this.#links.length < handlesMax) this.#due.push(() => this.#attach(attach.role === "receiver", attach.name, attach));
      return;
    }
    known.engineHandle = attach.handle;
    if (!known.isSender) known.deliveryCount = attach.initialDeliveryCount ?? 0;
  }

  #linkOf(engineHandle: number): PeerLink | undefined {
    return this.#links.find((link) => link.engineHandle === engineHandle);
  }

  #hearFlow(fields: FieldReader): void {
    const flow = new Flow();
    flow.read(fields);
    if (flow.nextIncomingId >= 0) this.#windowLeft = serialDistance(this.#nextOutgoingId, serialAdd(flow.nextIncomingId, flow.incomingWindow));
    const link = flow.handle < 0 ? undefined : this.#linkOf(flow.handle);
    if (link?.isSender === true && !link.detachSent) {
      link.credit = serialDistance(link.deliveryCount, serialAdd(Math.max(0, flow.deliveryCount), flow.linkCredit));
      if (flow.drain) {
        link.deliveryCount = serialAdd(link.deliveryCount, Math.max(0, link.credit));
        link.credit = 0;
        this.#due.push(() => this.#flow(link, false));
      }
    } else if (link !== undefined && !link.isSender && flow.deliveryCount >= 0) {
      link.credit -= serialDistance(link.deliveryCount, flow.deliveryCount);
      link.deliveryCount = flow.deliveryCount;
    }
    if (flow.echo) this.#due.push(() => this.#flow(undefined, false));
  }

  #hearTransfer(fields: FieldReader): void {
    const transfer = new Transfer();
    transfer.read(fields);
    this.#nextIncomingId = serialAdd(this.#nextIncomingId, 1);
    if (--this.#windowGiven < 0 && !this.wasWrong) throw new Error("expected no transfer beyond the window that the peer gave");
    const link = this.#linkOf(transfer.handle);
    if (transfer.deliveryId < 0 || link === undefined) return;
    if (--link.credit < 0 && !this.wasWrong) throw new Error(`expected no transfer beyond the credit that the peer gave on handle ${link.handle}`);
    link.deliveryCount = serialAdd(link.deliveryCount, 1);
    if (!transfer.settled) this.#theirs.push(transfer.deliveryId);
  }

  #hearDisposition(fields: FieldReader): void {
    const disposition = new Disposition();
    disposition.read(fields);
    if (disposition.fromReceiver) {
      if (!disposition.settled) this.#ours.push({ first: disposition.first, last: disposition.last });
      return;
    }
    for (let at = this.#theirs.length - 1; at >= 0; at--) {
      const id = this.#theirs[at]!;
      if (serialDistance(disposition.first, id) >= 0 && serialDistance(id, disposition.last) >= 0) this.#theirs.splice(at, 1);
    }
  }

  #hearDetach(engineHandle: number): void {
    const link = this.#linkOf(engineHandle);
    if (link === undefined) {
      this.#overBeforeAnswer.add(engineHandle);
      return;
    }
    if (!link.detachSent) this.#due.push(() => this.#detach(link, true));
    this.#links.splice(this.#links.indexOf(link), 1);
  }
}
