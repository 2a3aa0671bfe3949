// The two kinds of links, as the protocol layer sees them, on top of a rhea link that attaches and detaches.
import type { Answer, Outcome, ReceivingHandler, ReceivingLink, SendingHandler, SendingLink, WireConnection, WireError } from "../protocol/wire.ts";
import { accepted, rejected } from "../protocol/wire.ts";
import type { Flow } from "./frames.ts";
import { flagAt, numberAt, type RheaFields, type RheaLink } from "./rhea-internals.ts";
import type { SessionEngine } from "./rhea-session.ts";

export class OutgoingLink implements SendingLink {
  readonly sends = true as const;
  readonly name: string;
  readonly handle: number;
  readonly connection: WireConnection;
  readonly #link: RheaLink;
  readonly #engine: SessionEngine;
  readonly #congested: () => boolean;
  #handler: SendingHandler | undefined;
  #attached = false;
  #credit = 0;
  #deliveryCount = 0;
  #drain = false;

  constructor(link: RheaLink, engine: SessionEngine, connection: WireConnection, congested: () => boolean) {
    this.name = link.name;
    this.handle = link.local.handle;
    this.connection = connection;
    this.#link = link;
    this.#engine = engine;
    this.#congested = congested;
  }

  get flowState(): Flow["link"] {
    return { handle: this.handle, deliveryCount: this.#deliveryCount >>> 0, credit: this.#credit, drain: this.#drain };
  }

  serve(handler: SendingHandler): void {
    this.#handler = handler;
  }

  /** Our attach is on its way, so that what follows may follow. */
  attached(): void {
    this.#attached = true;
    if (this.#credit > 0 || this.#drain) this.announce();
    this.drainIfDone();
  }

  flow(deliveryCount: number, credit: number, drain: boolean): void {
    this.#credit = Math.max(0, (deliveryCount + credit - this.#deliveryCount) | 0);
    this.#drain = drain;
    if (this.#attached) this.announce();
  }

  /** Tells the handler what it may send now. */
  announce(): void {
    if (!this.#attached) return;
    this.#handler?.onCredit(this.#congested() ? 0 : Math.min(this.#credit, this.#engine.room));
  }

  /** Gives back what credit is left, once everything that was there has been sent. */
  drainIfDone(): void {
    if (!this.#drain || !this.#attached || !this.#engine.idle) return;
    this.#deliveryCount += this.#credit;
    this.#credit = 0;
    this.#handler?.onCredit(0);
    this.#engine.writeFlow(this);
    this.#drain = false;
  }

  send(tag: Buffer, parts: readonly [Buffer, Buffer], held: unknown): void {
    this.#credit--;
    this.#deliveryCount++;
    this.#engine.send(this, tag, parts[0], parts[1], held);
    // What stopped us says when it is over, and `announce` then gives the credit back.
    if (this.#engine.room === 0 || this.#congested()) this.#handler?.onCredit(0);
  }

  outcome(held: unknown, outcome: Outcome): Answer {
    return this.#handler?.onOutcome(held, outcome) ?? accepted;
  }

  close(error: WireError): void {
    this.#link.close({ ...error });
    this.closed();
  }

  closed(): void {
    const handler = this.#handler;
    this.#handler = undefined;
    this.#attached = false;
    this.#engine.remove(this);
    handler?.onClosed();
  }
}

/** A link that the peer has attached and we have not yet: it keeps the credit that is granted meanwhile. */
export class AwaitingLink {
  readonly sends = true as const;
  readonly handle = -1;
  readonly flowState: undefined = undefined;
  grant: { readonly deliveryCount: number; readonly credit: number; readonly drain: boolean } | undefined;
  readonly #onClosed: () => void;

  constructor(onClosed: () => void) {
    this.#onClosed = onClosed;
  }

  flow(deliveryCount: number, credit: number, drain: boolean): void {
    this.grant = { deliveryCount, credit, drain };
  }

  announce(): void {
    return;
  }

  drainIfDone(): void {
    return;
  }

  outcome(): Answer {
    return accepted;
  }

  closed(): void {
    this.#onClosed();
  }
}

/** A delivery that is still coming in. */
interface Partial {
  readonly id: number;
  readonly format: number;
  readonly settled: boolean;
  readonly frames: Buffer[];
  bytes: number;
}

const nothing = Buffer.alloc(0);

export class IncomingLink implements ReceivingLink {
  readonly sends = false as const;
  readonly name: string;
  readonly handle: number;
  readonly #link: RheaLink;
  readonly #engine: SessionEngine;
  readonly #creditMax: number;
  readonly #messageBytesMax: number;
  #handler: ReceivingHandler | undefined;
  #partial: Partial | undefined;
  #credit = 0;
  #deliveryCount = 0;

  constructor(link: RheaLink, engine: SessionEngine, creditMax: number, messageBytesMax: number) {
    this.name = link.name;
    this.handle = link.local.handle;
    this.#link = link;
    this.#engine = engine;
    this.#creditMax = creditMax;
    this.#messageBytesMax = messageBytesMax;
  }

  get flowState(): Flow["link"] {
    return { handle: this.handle, deliveryCount: this.#deliveryCount >>> 0, credit: this.#credit, drain: false };
  }

  serve(handler: ReceivingHandler): void {
    this.#handler = handler;
  }

  attached(): void {
    this.#credit = this.#creditMax;
    this.#engine.writeFlow(this);
  }

  transfer(fields: RheaFields, payload: Buffer | undefined): void {
    const partial = (this.#partial ??= {
      id: numberAt(fields, 1) ?? 0,
      format: numberAt(fields, 3) ?? 0,
      settled: flagAt(fields, 4),
      frames: [],
      bytes: 0,
    });
    if (payload !== undefined) {
      partial.bytes += payload.length;
      if (partial.bytes <= this.#messageBytesMax) partial.frames.push(payload);
    }
    if (flagAt(fields, 9)) {
      this.#partial = undefined;
      this.#count();
      return;
    }
    if (flagAt(fields, 5)) return;
    this.#partial = undefined;
    this.#count();
    const answer = this.#take(partial);
    if (!partial.settled) this.#engine.answerIncoming(partial.id, answer);
  }

  close(error: WireError): void {
    this.#link.close({ ...error });
    this.closed();
  }

  closed(): void {
    const handler = this.#handler;
    this.#handler = undefined;
    this.#engine.remove(this);
    handler?.onClosed();
  }

  #take(partial: Partial): Answer {
    if (partial.bytes > this.#messageBytesMax) {
      return rejected("amqp:link:message-size-exceeded", `The message of ${partial.bytes} bytes is larger than the maximum of ${this.#messageBytesMax} bytes.`);
    }
    const [first = nothing] = partial.frames;
    const bytes = partial.frames.length <= 1 ? first : Buffer.concat(partial.frames, partial.bytes);
    return this.#handler?.onMessage(bytes, partial.format) ?? rejected("amqp:illegal-state", "The link is closed.");
  }

  #count(): void {
    this.#deliveryCount++;
    this.#credit--;
    if (this.#credit > this.#creditMax / 2) return;
    this.#credit = this.#creditMax;
    this.#engine.writeFlow(this);
  }
}
