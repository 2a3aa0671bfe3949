// One case: a connection of the engine, client or server, whose peer talks sense for a while and then does not. What must
// hold: nothing is thrown, whatever goes out is well-formed and in order, the condition is one of the engine's (and the
// certain one where the input leaves no choice), nothing is kept for a peer beyond the limits, and the connection ends.
import { setImmediate as nextTick } from "node:timers/promises";
import type { ConnectionEnd } from "#runtime/amqp/connection/connection-options.ts";
import { openClient, openServer } from "#runtime/amqp/connection/connection.ts";
import type { Connection } from "#runtime/amqp/connection/connection.ts";
import { readErrorField } from "#runtime/amqp/message/condition.ts";
import { describedValueAt, descriptor, descriptorAt } from "#runtime/amqp/codec/descriptors.ts";
import { conditions } from "#runtime/amqp/codec/errors.ts";
import { FieldReader } from "#runtime/amqp/codec/fields.ts";
import { FrameReader, frameType, protocolId } from "#runtime/amqp/frame/frames.ts";
import type { Limits } from "#runtime/amqp/codec/limits.ts";
import { readAttach, readBegin, readDetach, readOpen } from "#runtime/amqp/frame/performatives.ts";
import { Disposition, Flow, Transfer } from "#runtime/amqp/frame/transfers.ts";
import { Random } from "../random.ts";
import type { CaseReport, FuzzTarget } from "../target.ts";
import { Owner } from "./owner.ts";
import { Peer } from "./peer.ts";
import { PairCase } from "./pair.ts";
import { anyFrame, certain, mutated } from "./traffic.ts";
import { FuzzClock, FuzzSocket } from "./wire.ts";

const limits: Partial<Limits> = {
  frameBytesMax: 65_536,
  linksMax: 8,
  sessionsMax: 4,
  unsettledMax: 100,
  incomingWindowFrames: 64,
  messageBytesMax: 20_000,
  partialBytesMax: 30_000,
  outputBytesHigh: 100_000,
  outputBytesMax: 400_000,
};
const knownConditions: ReadonlySet<string> = new Set([...Object.values(conditions), "amqp:unauthorized-access"]);

/** One case in so many has an engine at both ends. */
const pairEvery = 8;

/** How long a peer may talk. */
const partsMax = 120;

/** Reads what the engine wrote, throws at what it should not have, and lets the peer hear the rest. */
class Judge {
  readonly #peer: Peer;
  readonly #reader: FrameReader;
  #sawOpen = false;
  #sawClose = false;
  #openSession = new Set<number>();
  closeCondition: string | undefined;

  constructor(peer: Peer) {
    this.#peer = peer;
    this.#reader = new FrameReader(
      {
        onHeader: ({ id, supported }) => {
          if (!supported || (id !== protocolId.amqp && id !== protocolId.sasl)) throw new Error(`wrote header ${id}`);
          this.#reader.expect("frame");
        },
        onFrame: (type, channel, bytes, start, end) => this.#onFrame(type, channel, bytes, start, end),
      },
      0xffff_ffff,
    );
  }

  read(chunks: readonly Buffer[]): void {
    for (const chunk of chunks) this.#reader.push(chunk);
  }

  #onFrame(type: number, channel: number, bytes: Buffer, start: number, end: number): void {
    if (this.#sawClose) throw new Error(`wrote a frame after its close: ${bytes.toString("hex", start, Math.min(end, start + 40))}`);
    if (start === end) return;
    const code = descriptorAt(bytes, start, end);
    const fields = new FieldReader().open(bytes, describedValueAt(bytes, start, end), end);
    if (type === frameType.sasl) {
      if (code === descriptor.saslOutcome || code === descriptor.saslInit) this.#reader.expect("header");
      return;
    }
    if (this.#sawOpen === (code === descriptor.open)) throw new Error(`wrote 0x${code.toString(16)} ${this.#sawOpen ? "after" : "before"} open`);
    if (code === descriptor.begin) this.#openSession.add(channel);
    else if (code >= descriptor.attach && code <= descriptor.end && !this.#openSession.has(channel))
      throw new Error(`wrote 0x${code.toString(16)} on channel ${channel} without a session`);
    if (code === descriptor.end) this.#openSession.delete(channel);
    this.#readFields(code, fields);
    this.#peer.hear(bytes, start, end, channel);
  }

  #readFields(code: number, fields: FieldReader): void {
    switch (code) {
      case descriptor.open:
        this.#sawOpen = true;
        readOpen(fields);
        return;
      case descriptor.begin:
        readBegin(fields);
        return;
      case descriptor.attach:
        readAttach(fields);
        return;
      case descriptor.flow:
        new Flow().read(fields);
        return;
      case descriptor.transfer:
        new Transfer().read(fields);
        return;
      case descriptor.disposition:
        new Disposition().read(fields);
        return;
      case descriptor.detach:
        readDetach(fields);
        return;
      case descriptor.end:
        readErrorField(fields);
        return;
      case descriptor.close:
        this.#sawClose = true;
        this.closeCondition = readErrorField(fields)?.condition;
        return;
      default:
        throw new Error(`wrote descriptor 0x${code.toString(16)}`);
    }
  }
}

class Case {
  readonly #random: Random;
  readonly #socket = new FuzzSocket({ highWaterMark: 65_536 });
  readonly #clock = new FuzzClock();
  readonly #owner: Owner;
  readonly #peer: Peer;
  readonly #judge: Judge;
  readonly #connection: Connection;
  readonly #isClient: boolean;
  readonly #sasl: boolean;
  #end: ConnectionEnd | undefined;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.#isClient = this.#random.chance(0.5);
    this.#sasl = this.#random.chance(0.3);
    this.#owner = new Owner(this.#random);
    this.#peer = new Peer(this.#random, { isServer: this.#isClient, wrongFields: this.#random.pick([0, 0, 0.01, 0.1]) });
    this.#judge = new Judge(this.#peer);
    const options = { containerId: "engine", limits, clock: this.#clock, idleTimeOutMs: 10_000 };
    const events = { ...this.#owner.connectionEvents(this.#isClient), onClosed: (_connection: Connection, end: ConnectionEnd) => void (this.#end = end) };
    this.#connection = this.#isClient
      ? openClient(this.#socket, { ...options, ...(this.#sasl && { sasl: { mechanism: "ANONYMOUS" as const } }) }, events)
      : openServer(
          this.#socket,
          { ...options, ...(this.#sasl && { sasl: { mechanisms: ["ANONYMOUS"], authenticate: (_init, decide) => this.#decide(decide) } }) },
          events,
        );
  }

  #decide(decide: (allowed: boolean) => void): void {
    if (this.#random.chance(0.5)) decide(this.#random.chance(0.9));
    else setImmediate(() => decide(this.#random.chance(0.9)));
  }

  async run(): Promise<CaseReport> {
    const random = this.#random;
    const opening = this.#peer.opening(this.#sasl);
    if (random.chance(0.2)) await this.#spoilOpening(opening);
    else {
      for (const part of opening) await this.#feed(part);
      if (random.chance(0.1)) return this.#runCertain();
      if (random.chance(0.1)) this.#socket.stalls = true;
      await this.#talkOn();
    }
    return this.#finish(undefined);
  }

  /** Hostile bytes somewhere in the handshake. */
  async #spoilOpening(opening: readonly Buffer[]): Promise<void> {
    const spoiled = this.#random.below(opening.length);
    for (const [index, part] of opening.entries()) {
      await this.#feed(index === spoiled ? this.#hostile(part) : part);
    }
  }

  /** Sense, with hostile frames in it. */
  async #talkOn(): Promise<void> {
    const random = this.#random;
    const hostility = random.pick([0, 0, 0.01, 0.05]);
    for (let left = 5 + random.below(partsMax); left > 0 && this.#end === undefined; left--) {
      const part = this.#peer.next();
      await this.#feed(random.chance(hostility) ? this.#hostile(part) : part);
      if (random.chance(0.1)) this.#owner.act();
      if (random.chance(0.02)) this.#clock.advance(random.below(6_000));
    }
  }

  #hostile(part: Buffer): Buffer {
    this.#peer.wasWrong = true;
    const random = this.#random;
    switch (random.below(4)) {
      case 0:
        return random.bytes(1 + random.below(200));
      case 1:
        return anyFrame(random);
      default:
        return mutated(random, part);
    }
  }

  /** Bytes that leave the engine no choice of what to answer. */
  async #runCertain(): Promise<CaseReport> {
    if (this.#connection.state.at !== "open") return this.#finish(undefined);
    this.#peer.wasWrong = true;
    const { bytes, condition } = certain(this.#random);
    await this.#feed(bytes);
    return this.#finish(condition);
  }

  /** Feeds bytes in chunks of any sizes, some of them in one tick. */
  async #feed(bytes: Buffer): Promise<void> {
    const random = this.#random;
    for (let at = 0; at < bytes.length && !this.#socket.destroyed && this.#end === undefined;) {
      const size = random.chance(0.7) ? bytes.length - at : 1 + random.below(12);
      const isLast = at + size >= bytes.length;
      if (isLast) this.#peer.said();
      this.#socket.push(Buffer.from(bytes.subarray(at, at + size)));
      at += size;
      if (isLast || random.chance(0.3)) await this.#settle();
    }
  }

  /** Lets the engine read what came and write until it has no more to say: so what is fed next meets nothing on its way. */
  async #settle(): Promise<void> {
    do {
      await nextTick();
      await nextTick();
    } while (this.#listen() > 0);
  }

  /** Hears what the engine has written since the last time, and returns how much that was. */
  #listen(): number {
    const chunks = this.#socket.written.splice(0);
    this.#judge.read(chunks);
    return chunks.length;
  }

  async #finish(expected: string | undefined): Promise<CaseReport> {
    this.#connection.close();
    await nextTick();
    await nextTick();
    this.#clock.advance(60_000);
    await nextTick();
    if (this.#end === undefined || this.#connection.state.at !== "closed")
      throw new Error(`expected the connection to end, found it ${this.#connection.state.at}`);
    this.#socket.destroy();
    this.#listen();
    const { by, error, cause } = this.#end;
    if (by === "fault") throw new Error("expected no callback of the owner or the engine to throw", { cause });
    if (by === "violation" && !knownConditions.has(error?.condition ?? "")) throw new Error(`expected a known condition, found ${error?.condition}`);
    this.#owner.checkFates();
    const isBlameless = !this.#peer.wasWrong && !this.#socket.stalls;
    if (isBlameless && by === "violation")
      throw new Error(`expected no violation of a peer that did all as it should, found ${error?.condition}: ${error?.description}`);
    if (isBlameless) this.#owner.reached.add("(a peer that did all as it should)");
    if (this.#socket.writableLength > limits.outputBytesMax! + 200_000)
      throw new Error(`expected at most ${limits.outputBytesMax} bytes to wait, found ${this.#socket.writableLength}`);
    if (expected !== undefined) {
      if (error?.condition !== expected) throw new Error(`expected ${expected}, found ${by} ${error?.condition}`);
      if (this.#judge.closeCondition !== expected) throw new Error(`expected a close with ${expected}, found ${this.#judge.closeCondition}`);
    }
    return { reached: this.#owner.reached, outcome: by === "violation" ? `violation ${error?.condition}` : by };
  }
}

export const amqpTarget: FuzzTarget = {
  runCase: (seed) => (seed % pairEvery === 0 ? new PairCase(seed).run() : new Case(seed).run()),
};
