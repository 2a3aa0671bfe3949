// Transfers, dispositions and flows of one session, in place of rhea's own.
//
// What rhea's need and these do not: nothing waits for a tick, so a credit is used the moment something is sent with it;
// deliveries lie in a map, so that one unsettled delivery holds up nothing; answers to a range are one frame.
import type { Answer, Outcome } from "../protocol/wire.ts";
import { type Flow, transferHeadMax, writeAccepted, writeEmpty, writeFlow, writeRejected, writeTransfer } from "./frames.ts";
import type { OutputBuffer } from "./output-buffer.ts";
import { flagAt, numberAt, type RheaFields, type RheaFrame, type RheaSession } from "./rhea-internals.ts";
import { readOutcome } from "./rhea-outcome.ts";

/** Transfers that the peer may have under way; the same that rhea announces in its begin. */
const incomingWindow = 2048;

/** Deliveries of one session that may be unsettled before it is given no more. */
const unsettledMax = 65_536;

const outgoingWindow = 2 ** 31 - 1;

/** A link as its session sees it. */
interface OutgoingEnd {
  readonly sends: true;
  readonly handle: number;
  readonly flowState: Flow["link"];
  flow(deliveryCount: number, credit: number, drain: boolean): void;
  announce(): void;
  drainIfDone(): void;
  outcome(held: unknown, outcome: Outcome): Answer;
  closed(): void;
}

interface IncomingEnd {
  readonly sends: false;
  readonly flowState: Flow["link"];
  transfer(fields: RheaFields, payload: Buffer | undefined): void;
  closed(): void;
}

interface Unsettled {
  readonly link: OutgoingEnd;
  readonly held: unknown;
}

/** A transfer that waits for the peer's window, from its byte `offset` on. */
interface Waiting {
  readonly link: OutgoingEnd;
  readonly tag: Buffer;
  readonly first: Buffer;
  readonly second: Buffer;
  readonly held: unknown;
  deliveryId: number;
  offset: number;
}

export class SessionEngine {
  readonly channel: number;
  readonly output: OutputBuffer;
  readonly outgoingLinks: Set<OutgoingEnd> = new Set<OutgoingEnd>();
  readonly incomingLinks: Set<IncomingEnd> = new Set<IncomingEnd>();
  readonly #handles = new Map<number, OutgoingEnd | IncomingEnd>();
  readonly #isKnown: (remoteHandle: number) => boolean;
  readonly #frameBytesMax: () => number;
  readonly #unsettled = new Map<number, Unsettled>();
  #waiting: Waiting[] = [];
  #nextDeliveryId = 0;
  #nextOutgoingId = 0;
  /** The peer takes transfers with ids below this. */
  #outgoingLimit = 0;
  #nextIncomingId = 0;
  #announcedIncomingLimit = incomingWindow;
  #acceptFirst = -1;
  #acceptLast = -1;

  constructor(session: RheaSession, output: OutputBuffer, frameBytesMax: () => number) {
    this.channel = session.local.channel;
    this.#isKnown = (handle): boolean => session.remote.handles[handle] !== undefined;
    this.output = output;
    this.#frameBytesMax = frameBytesMax;
    session.outgoing = this.#outgoingStandIn();
    session.incoming = this.#incomingStandIn();
    session.on_transfer = (frame): void => this.#onTransfer(frame);
    session.on_disposition = ({ performative }): void => {
      if (flagAt(performative, 0)) this.#onDisposition(performative);
    };
    session.on_flow = ({ performative }): void => this.#onFlow(performative);
  }

  /** Deliveries that may be sent now: none while one waits for the peer's window, or too many are unsettled. */
  get room(): number {
    return this.#waiting.length > 0 ? 0 : Math.max(0, unsettledMax - this.#unsettled.size);
  }

  announce(): void {
    for (const link of this.outgoingLinks) link.announce();
  }

  /** Attaches a link to the handle that the peer calls it by. */
  add(remoteHandle: number, link: OutgoingEnd | IncomingEnd): void {
    this.#handles.set(remoteHandle, link);
    if (link.sends) this.outgoingLinks.add(link);
    else this.incomingLinks.add(link);
  }

  /** Forgets a link; what it left unsettled is forgotten with it. */
  remove(link: OutgoingEnd | IncomingEnd): void {
    for (const [handle, known] of this.#handles) {
      if (known === link) this.#handles.delete(handle);
    }
    if (!link.sends) {
      this.incomingLinks.delete(link);
      return;
    }
    this.outgoingLinks.delete(link);
    this.#waiting = this.#waiting.filter((waiting) => waiting.link !== link);
    for (const [id, unsettled] of this.#unsettled) {
      if (unsettled.link === link) this.#unsettled.delete(id);
    }
  }

  /** Gives a link credit that was granted before it was attached. */
  grant(remoteHandle: number, { deliveryCount, credit, drain }: { readonly deliveryCount: number; readonly credit: number; readonly drain: boolean }): void {
    const link = this.#handles.get(remoteHandle);
    if (link?.sends === true) link.flow(deliveryCount, credit, drain);
  }

  closeLinks(): void {
    for (const link of [...this.outgoingLinks, ...this.incomingLinks]) link.closed();
    this.#waiting = [];
    this.#unsettled.clear();
  }

  // --- sending ---

  send(link: OutgoingEnd, tag: Buffer, first: Buffer, second: Buffer, held: unknown): void {
    const transfer: Waiting = { link, tag, first, second, held, deliveryId: -1, offset: 0 };
    if (this.#waiting.length > 0 || !this.#write(transfer)) this.#waiting.push(transfer);
  }

  /** True when nothing that was sent still waits for the peer's window. */
  get idle(): boolean {
    return this.#waiting.length === 0;
  }

  /** Writes as much as the peer's window takes; false when something is left. */
  #write(transfer: Waiting): boolean {
    const { link, first, second } = transfer;
    const total = first.length + second.length;
    const payloadMax = this.#frameBytesMax() - transferHeadMax;
    this.flushAnswers();
    while (transfer.offset < total) {
      if (this.#nextOutgoingId >= this.#outgoingLimit) return false;
      this.#nextOutgoingId++;
      if (transfer.deliveryId < 0) {
        transfer.deliveryId = this.#nextDeliveryId++;
        if (transfer.held !== undefined) this.#unsettled.set(transfer.deliveryId >>> 0, { link, held: transfer.held });
      }
      const to = Math.min(total, transfer.offset + payloadMax);
      const head = { channel: this.channel, handle: link.handle, deliveryId: transfer.deliveryId >>> 0, tag: transfer.tag, settled: transfer.held === undefined };
      writeTransfer(this.output, head, first, second, transfer.offset, to);
      transfer.offset = to;
    }
    return true;
  }

  #writeWaiting(): void {
    let written = 0;
    for (const transfer of this.#waiting) {
      if (!this.#write(transfer)) break;
      written++;
    }
    if (written === 0) return;
    this.#waiting = this.#waiting.slice(written);
    if (this.#waiting.length === 0) this.announce();
  }

  #onDisposition(fields: RheaFields): void {
    const first = numberAt(fields, 1) ?? 0;
    const last = numberAt(fields, 2) ?? first;
    const settled = flagAt(fields, 3);
    const outcome = readOutcome(fields.value[4]);
    if (outcome === undefined && !settled) return;
    const wasFull = this.#unsettled.size >= unsettledMax;
    // A range may claim four billion deliveries: walk whichever is smaller, the range or what there is.
    if (last - first > this.#unsettled.size) {
      for (const id of this.#unsettled.keys()) {
        if (id >= first && id <= last) this.#end(id, settled, outcome);
      }
    } else {
      for (let id = first; id <= last; id++) this.#end(id, settled, outcome);
    }
    this.#flushSettled();
    if (wasFull && this.#unsettled.size < unsettledMax) this.announce();
  }

  /** First and last of a run of deliveries whose acceptance is not written yet. */
  #settledFirst = -1;
  #settledLast = -1;

  #end(id: number, settled: boolean, outcome: Outcome | undefined): void {
    const unsettled = this.#unsettled.get(id);
    if (unsettled === undefined) return;
    this.#unsettled.delete(id);
    const answer = unsettled.link.outcome(unsettled.held, outcome ?? { kind: "released" });
    if (!settled) this.#answerSettled(id, answer);
  }

  #answerSettled(id: number, answer: Answer): void {
    if (answer.kind === "silent") return;
    if (answer.kind === "rejected") {
      this.#flushSettled();
      writeRejected(this.output, this.channel, false, id, answer.error);
      return;
    }
    if (this.#settledFirst >= 0 && id === this.#settledLast + 1) {
      this.#settledLast = id;
      return;
    }
    this.#flushSettled();
    this.#settledFirst = this.#settledLast = id;
  }

  #flushSettled(): void {
    if (this.#settledFirst < 0) return;
    writeAccepted(this.output, this.channel, false, this.#settledFirst, this.#settledLast);
    this.#settledFirst = this.#settledLast = -1;
  }

  // --- flow ---

  #onFlow(fields: RheaFields): void {
    this.#updateWindow(numberAt(fields, 0) ?? 0, numberAt(fields, 1) ?? 0);
    this.#writeWaiting();
    const handle = numberAt(fields, 4);
    const link = handle === undefined ? undefined : this.#handles.get(handle);
    if (link?.sends === true) link.flow(numberAt(fields, 5) ?? 0, numberAt(fields, 6) ?? 0, flagAt(fields, 8));
    for (const other of this.outgoingLinks) other.drainIfDone();
    if (flagAt(fields, 9)) this.writeFlow(link);
    // An answer without content: it acknowledges the peer's segment at once, which else might hold back its next one.
    else writeEmpty(this.output);
  }

  #updateWindow(nextIncomingId: number, window: number): void {
    this.#outgoingLimit = nextIncomingId + window;
  }

  writeFlow(link: OutgoingEnd | IncomingEnd | undefined): void {
    this.#announcedIncomingLimit = this.#nextIncomingId + incomingWindow;
    writeFlow(this.output, {
      channel: this.channel,
      nextIncomingId: this.#nextIncomingId >>> 0,
      incomingWindow,
      nextOutgoingId: this.#nextOutgoingId >>> 0,
      outgoingWindow,
      link: link?.flowState,
    });
  }

  // --- receiving ---

  #onTransfer(frame: RheaFrame<RheaFields>): void {
    const fields = frame.performative;
    this.#nextIncomingId++;
    const handle = numberAt(fields, 0) ?? -1;
    const link = this.#handles.get(handle);
    // A link that we have closed may still be sent to until the peer has read that.
    if (link === undefined && !this.#isKnown(handle)) throw new Error(`expected a transfer on an attached link, found handle ${handle}`);
    if (link?.sends === true) throw new Error(`expected a transfer on a link that the peer sends on, found handle ${handle}`);
    link?.transfer(fields, frame.payload);
    if (this.#announcedIncomingLimit - this.#nextIncomingId < incomingWindow / 2) this.writeFlow(undefined);
  }

  /** Answers a delivery of the peer. Acceptances of neighbours become one frame, written at the next flush at the latest. */
  answerIncoming(id: number, answer: Answer): void {
    if (answer.kind === "silent") return;
    if (answer.kind === "rejected") {
      this.flushAnswers();
      writeRejected(this.output, this.channel, true, id, answer.error);
      return;
    }
    if (this.#acceptFirst >= 0 && id === this.#acceptLast + 1) {
      this.#acceptLast = id;
      return;
    }
    this.flushAnswers();
    this.#acceptFirst = this.#acceptLast = id;
    this.output.schedule();
  }

  flushAnswers(): void {
    if (this.#acceptFirst < 0) return;
    writeAccepted(this.output, this.channel, true, this.#acceptFirst, this.#acceptLast);
    this.#acceptFirst = this.#acceptLast = -1;
  }

  // --- what rhea still asks of its own parts ---

  #outgoingStandIn(): object {
    return {
      deliveries: { available: (): number => 1 },
      window: outgoingWindow,
      next_transfer_id: 0,
      available: (): number => 1,
      on_begin: (begin: { incoming_window?: number }): void => this.#updateWindow(0, begin.incoming_window ?? 0),
      process: (): void => undefined,
    };
  }

  #incomingStandIn(): object {
    return {
      window: incomingWindow,
      next_transfer_id: 0,
      on_begin: (begin: { next_outgoing_id?: number }): void => {
        this.#nextIncomingId = begin.next_outgoing_id ?? 0;
        this.#announcedIncomingLimit = this.#nextIncomingId + incomingWindow;
      },
      process: (): void => undefined,
    };
  }
}
