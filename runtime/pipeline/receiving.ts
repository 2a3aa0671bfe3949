/** Takes messages from a source, in one way or another. */
export interface Receiving {
  /** Since when messages could come and none came, monotonic; undefined while none could, or that is noticed elsewhere. */
  readonly silentSinceMs: number | undefined;
  /** Messages taken since the start. */
  readonly received: number;
  /** When a message last came, monotonic; 0 before the first. */
  readonly lastReceivedMs: number;
  /** Messages that may still come. */
  readonly credit: number;
  /** Messages that may be on their way at once: what its part of the bytes is counted by. */
  readonly bringsMost: number;
  /** It has no credit, or what it has is of no use before there is room for the bytes. */
  readonly waitsForRoom: boolean;
  readonly isPaused: boolean;
  start(): void;
  /** Takes no more messages, ever; resolves when no more can come. */
  stop(): Promise<void>;
  /** Takes no messages until every pause has been resumed. */
  pause(why: PauseReason): void;
  resume(why: PauseReason): void;
  /** Says that room may have come free. */
  replenish(): void;
  /** There is less room than there was. */
  trim(): void;
  rebuild(what: "receiver" | "connection"): Promise<void>;
}

/** Why nothing is received. */
export type PauseReason = "not-started" | "store-down" | "threads-down" | "credential-ending" | "by-hand" | "stopped";

/** A source that gives its messages in two ways. */
export class ReceivingBoth implements Receiving {
  readonly #first: Receiving;
  readonly #second: Receiving;

  constructor(first: Receiving, second: Receiving) {
    this.#first = first;
    this.#second = second;
  }

  get silentSinceMs(): number | undefined {
    return this.#second.silentSinceMs ?? this.#first.silentSinceMs;
  }

  get received(): number {
    return this.#first.received + this.#second.received;
  }

  get lastReceivedMs(): number {
    return Math.max(this.#first.lastReceivedMs, this.#second.lastReceivedMs);
  }

  get credit(): number {
    return this.#first.credit + this.#second.credit;
  }

  get bringsMost(): number {
    return this.#first.bringsMost + this.#second.bringsMost;
  }

  get waitsForRoom(): boolean {
    return this.#first.waitsForRoom || this.#second.waitsForRoom;
  }

  get isPaused(): boolean {
    return this.#first.isPaused && this.#second.isPaused;
  }

  start(): void {
    this.#each((part) => part.start());
  }

  async stop(): Promise<void> {
    await Promise.all([this.#first.stop(), this.#second.stop()]);
  }

  pause(why: PauseReason): void {
    this.#each((part) => part.pause(why));
  }

  resume(why: PauseReason): void {
    this.#each((part) => part.resume(why));
  }

  replenish(): void {
    this.#each((part) => part.replenish());
  }

  trim(): void {
    this.#each((part) => part.trim());
  }

  async rebuild(what: "receiver" | "connection"): Promise<void> {
    await Promise.all([this.#first.rebuild(what), this.#second.rebuild(what)]);
  }

  #each(act: (part: Receiving) => void): void {
    act(this.#first);
    act(this.#second);
  }
}
