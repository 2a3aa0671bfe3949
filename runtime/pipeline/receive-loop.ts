/**
 * Takes messages from a source, never more than there is room for: credit outstanding of all sources plus messages in flight stay
 * at or below the worker's maximum, and credit at or below what can be admitted. While it is paused it has no receiver at all: what the broker could still send on open credit
 * would come back as fast as it is handed back.
 */
import { noFraction } from "../core/fractions.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { Delivery } from "../core/delivery.ts";
import { type IncomingBytes, stepBytes } from "../policy/incoming-bytes.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Receiver } from "../ports/transport.ts";
import type { PauseReason, Receiving } from "./receiving.ts";
import type { Source } from "./source.ts";
import type { SourceHealth } from "./source-health.ts";
import { settledWithin } from "./within.ts";

/** With no credit out for want of room, room is looked for again after this long, and twice as long each time: runs that begin make it, and time alone can. */
const roomLookMinMs = 5;
const roomLookMaxMs = 100;
/** A receiver with credit waits, and is not just slow to get what the broker has for it, once nothing came for so long. */
const awaitedAfterMs = 200;
/** A receiver that does not close within this time is left behind. */
export const closeWaitMaxMs = 5_000;

export interface ReceiveLoopOptions {
  readonly source: Source;
  readonly health: SourceHealth;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** How many messages could be admitted beyond those that are here. */
  room(): number;
  readonly incoming: IncomingBytes<object>;
  /** The part of one of all that receive of the bytes that may be on their way. */
  part(of: Pick<Receiving, "bringsMost">): number;
  /** It has no credit, and there is no room: another source may have credit to spare. */
  short(): void;
  /** `wasAwaited`: it came to a receiver that had credit, had been served before, and had waited undisturbed since. */
  deliveries(batch: readonly Delivery[], wasAwaited: boolean): void;
}

export class ReceiveLoop implements Receiving {
  readonly #options: ReceiveLoopOptions;
  readonly #pauses = new Set<PauseReason>(["not-started"]);
  #receiver: Receiver | undefined;
  /** Settles when every receiver before the present one has closed. */
  #closing: Promise<unknown> = Promise.resolve();
  /** Of the present receiver. */
  #credit = 0;
  #received = 0;
  #isOpening = false;
  #isGranting = false;
  #roomLook: Timer | undefined;
  #roomLookMs = roomLookMinMs;
  /** When a message last came, or since when one is awaited. */
  #lastReceivedMs = noFraction;
  #lastArrivedMs = noFraction;
  /** When receiving was disturbed first, since messages last came; undefined when it was not, or what is wrong is the entity. */
  #disturbedSinceMs: number | undefined;
  /** Of a message that has partly come. */
  #arrivingBytes = 0;
  /** Messages wait at the broker for room for their bytes. */
  #isShortOfBytes = false;
  /** The present receiver is attached: something came, and nothing has disturbed it since. */
  #isServed = false;

  constructor(options: ReceiveLoopOptions) {
    this.#options = options;
  }

  /** Since when credit is open and nothing came, monotonic; undefined while nothing could. */
  get silentSinceMs(): number | undefined {
    return this.#credit > 0 && !this.#isShortOfBytes ? this.#lastReceivedMs : undefined;
  }

  get waitsForRoom(): boolean {
    return this.#credit === 0 || this.#isShortOfBytes;
  }

  /** When a message last came, monotonic; 0 before the first. */
  get lastReceivedMs(): number {
    return this.#lastArrivedMs + 0;
  }

  /** Messages that may still come. */
  get credit(): number {
    return this.#credit;
  }

  get bringsMost(): number {
    return this.#credit;
  }

  get isPaused(): boolean {
    return this.#pauses.size > 0;
  }

  /** Messages taken since the start. */
  get received(): number {
    return this.#received;
  }

  start(): void {
    this.resume("not-started");
  }

  /** Takes no more messages, ever; resolves when no more can come. */
  async stop(): Promise<void> {
    this.pause("stopped");
    await this.#closing;
  }

  /** Takes no messages until every pause has been resumed. */
  pause(why: PauseReason): void {
    this.#pauses.add(why);
    this.#close();
  }

  resume(why: PauseReason): void {
    if (this.#pauses.delete(why)) void this.#open();
  }

  /** Says that room may have come free; grants it once a tick. */
  replenish(): void {
    if (this.#isGranting) return;
    this.#isGranting = true;
    this.#options.clock.soon(() => {
      this.#isGranting = false;
      this.#grant();
    });
  }

  /** Takes credit back that is beyond what there is room for now: the receiver is replaced, since a grant cannot be lowered. */
  trim(): void {
    if (this.#receiver === undefined || this.#credit <= Math.max(0, this.#options.room())) return;
    this.#close();
    void this.#open();
  }

  /** Replaces a receiver that has gone silent; or, if that was of no use, the connection that it is on, too. */
  async rebuild(what: "receiver" | "connection"): Promise<void> {
    this.#close();
    if (what === "connection") {
      const { clock, source } = this.#options;
      // Nobody else may open one on the connection that is given up.
      this.#isOpening = true;
      await settledWithin(clock, this.#closing, closeWaitMaxMs);
      await settledWithin(clock, source.transport.reconnect(), closeWaitMaxMs);
      this.#isOpening = false;
    }
    await this.#open();
  }

  async #open(): Promise<void> {
    if (this.#isOpening) return;
    this.#isOpening = true;
    const isClosed = await settledWithin(this.#options.clock, this.#closing, closeWaitMaxMs);
    if (!isClosed) this.#closing = Promise.resolve();
    this.#isOpening = false;
    if (this.#pauses.size > 0 || this.#receiver !== undefined) return;
    const { source, health, clock } = this.#options;
    const receiver = source.transport.openReceiver({
      deliveries: (batch) => {
        this.#received += batch.length;
        health.served();
        this.#lastArrivedMs = clock.monotonicMs();
        this.#isWhole();
        if (this.#disturbedSinceMs !== undefined) this.#recovered(this.#disturbedSinceMs);
        const nowMs = this.#lastArrivedMs;
        const isWaiting = this.#receiver === receiver && this.#isServed && this.#credit > 0 && !this.#isShortOfBytes;
        const wasAwaited = isWaiting && nowMs - this.#lastReceivedMs >= awaitedAfterMs;
        if (this.#receiver === receiver) {
          this.#credit -= batch.length;
          this.#lastReceivedMs = nowMs;
          this.#isServed = true;
        }
        this.#options.deliveries(batch, wasAwaited);
        this.replenish();
      },
      opened: () => {
        health.served();
        if (this.#disturbedSinceMs !== undefined) this.#recovered(this.#disturbedSinceMs);
      },
      bytesRoom: (arrivingBytes) => this.#bytesRoom(arrivingBytes),
      disturbed: (error) => {
        this.#isServed = false;
        this.#isWhole();
        if (health.disturbed(error)) this.#disturbedSinceMs ??= clock.monotonicMs();
      },
    });
    this.#receiver = receiver;
    this.#isServed = false;
    this.#credit = 0;
    this.#lastReceivedMs = clock.monotonicMs();
    this.#grant();
  }

  #recovered(sinceMs: number): void {
    this.#disturbedSinceMs = undefined;
    const { source, telemetry, clock } = this.#options;
    telemetry.emit({ type: "transport.recovered", source: source.name, afterMs: Math.round(clock.monotonicMs() - sinceMs) });
  }

  #close(): void {
    this.#roomLook?.cancel();
    this.#roomLook = undefined;
    const receiver = this.#receiver;
    if (receiver === undefined) return;
    this.#receiver = undefined;
    this.#credit = 0;
    this.#isShortOfBytes = false;
    this.#isWhole();
    this.#closing = Promise.allSettled([this.#closing, receiver.stop()]);
  }

  /** What it needs is looked for again, as long as it is short of it: others may hold it. */
  #bytesRoom(arrivingBytes: number): number {
    const { incoming, clock } = this.#options;
    const room = incoming.room(this, arrivingBytes, this.#options.part(this));
    const isShort = room - arrivingBytes < stepBytes;
    // What comes slowly is no silence, nor is what could not come.
    if (arrivingBytes !== this.#arrivingBytes || (this.#isShortOfBytes && !isShort)) this.#lastReceivedMs = clock.monotonicMs();
    this.#arrivingBytes = arrivingBytes;
    this.#isShortOfBytes = isShort;
    if (isShort) this.#lookForRoomLater();
    return room;
  }

  /** Nothing has partly come. */
  #isWhole(): void {
    if (this.#arrivingBytes === 0) return;
    this.#arrivingBytes = 0;
    this.#options.incoming.whole(this);
  }

  #grant(): void {
    if (this.#receiver === undefined) return;
    if (this.#isShortOfBytes) {
      this.#bytesRoom(this.#arrivingBytes);
      this.#receiver.widen?.();
    }
    const room = this.#options.room() - this.#credit;
    if (room <= 0) {
      // With some out, what comes of it makes it be looked for.
      if (this.#credit > 0) return;
      this.#lookForRoomLater();
      this.#options.short();
      return;
    }
    if (this.#credit === 0) this.#lastReceivedMs = this.#options.clock.monotonicMs();
    this.#credit += room;
    this.#roomLookMs = roomLookMinMs;
    this.#receiver.addCredit(room);
  }

  #lookForRoomLater(): void {
    this.#roomLook ??= this.#options.clock.after(this.#roomLookMs, () => {
      this.#roomLook = undefined;
      this.#roomLookMs = Math.min(roomLookMaxMs, 2 * this.#roomLookMs);
      this.#grant();
    });
  }
}
