/**
 * Takes certain dead letters out of a box. A queue hands out its messages in their order only: what stands before the letters
 * that are wanted is taken too, held as it is, and let go of at the end, at no cost of a delivery where the transport can.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Delivery } from "../core/delivery.ts";
import { TransportError } from "../core/errors.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import type { Receiver, SettleOrder } from "../ports/transport.ts";

/** Wanted letters that are locked at a time: few, so that the last one is handled before its lock ends, at a slow pace too. */
const creditMax = 10;
/** Others that are held meanwhile, at most; and the bytes of their bodies. */
const heldMax = 5_000;
const heldBytesMax = 128 * 1024 * 1024;
/** With credit granted, nothing has come for this long: what was wanted is gone, or somebody else has it. */
const silenceMs = 5_000;

export interface TakeOptions {
  readonly clock: Clock;
  /** Calls off what has not been begun. */
  readonly signal?: AbortSignal | undefined;
  /** What is to be done with a wanted letter under its lock; true when it is to be completed. One after the other. */
  handle(delivery: Delivery): Promise<boolean>;
  /** Whether no more are to be handled; what is still wanted then is left alone. */
  isEnough?(): boolean;
}

export interface Taken {
  readonly completed: number;
  /** Sequence numbers of wanted letters that did not come. */
  readonly missing: ReadonlySet<bigint>;
}

class Taking {
  readonly #box: DeadLetterBox;
  readonly #options: TakeOptions;
  readonly #wanted: Set<bigint>;
  readonly #held: Delivery[] = [];
  readonly #ready: Delivery[] = [];
  #heldBytes = 0;
  #completed = 0;
  #receiver: Receiver | undefined;
  #silence: Timer | undefined;
  #isSilent = false;
  #wake: (() => void) | undefined;
  #failure: unknown;

  constructor(box: DeadLetterBox, wanted: ReadonlySet<bigint>, options: TakeOptions) {
    this.#box = box;
    this.#options = options;
    this.#wanted = new Set(wanted);
  }

  async run(): Promise<Taken> {
    const { transport } = this.#box;
    const receiver = transport.openReceiver({ deliveries: (batch) => this.#arrived(batch), disturbed: () => undefined });
    this.#receiver = receiver;
    const wake = (): void => this.#wake?.();
    this.#options.signal?.addEventListener("abort", wake);
    try {
      receiver.addCredit(Math.min(creditMax, this.#wanted.size));
      await this.#work();
    } finally {
      this.#options.signal?.removeEventListener("abort", wake);
      this.#silence?.cancel();
      await receiver.stop();
      const left = [...this.#held, ...this.#ready.splice(0)];
      await transport.settle(left.map((delivery): SettleOrder => ({ verb: "release", delivery })));
    }
    return { completed: this.#completed, missing: this.#wanted };
  }

  /** Handles one letter after the other, until there are no more or it is called off. */
  async #work(): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#options.signal?.aborted === true || this.#options.isEnough?.() === true) return;
      const delivery = this.#ready.shift();
      if (delivery === undefined) {
        if (this.#wanted.size === 0 || this.#isSilent) return;
        this.#listen();
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      // Let go of at the end, unless it is completed before.
      this.#held.push(delivery);
      const isDone = await this.#options.handle(delivery);
      if (this.#wanted.size > 0) this.#receiver?.addCredit(1);
      if (!isDone) continue;
      this.#held.splice(this.#held.indexOf(delivery), 1);
      const [result] = await this.#box.transport.settle([{ verb: "complete", delivery }]);
      if (result === "settled") this.#completed += 1;
    }
  }

  #arrived(batch: readonly Delivery[]): void {
    let others = 0;
    for (const delivery of batch) {
      if (this.#wanted.delete(delivery.sequenceNumber)) this.#ready.push(delivery);
      else {
        this.#hold(delivery);
        others += 1;
      }
    }
    if (others > 0 && this.#wanted.size > 0 && this.#failure === undefined) this.#receiver?.addCredit(others);
    this.#wake?.();
  }

  #hold(delivery: Delivery): void {
    this.#held.push(delivery);
    this.#heldBytes += delivery.body.byteLength;
    if (this.#held.length <= heldMax && this.#heldBytes <= heldBytesMax) return;
    this.#failure = new TransportError(
      `expected the letters that are meant among the first ${heldMax} of ${this.#box.name}, found ${this.#held.length} others before them; replay, export and purge those first`,
    );
  }

  #listen(): void {
    this.#silence?.cancel();
    this.#isSilent = false;
    this.#silence = this.#options.clock.after(silenceMs, () => {
      this.#isSilent = true;
      this.#wake?.();
    });
  }
}

/** Hands each wanted letter that comes to `handle`, and completes those that it says are done. */
export function take(box: DeadLetterBox, wanted: ReadonlySet<bigint>, options: TakeOptions): Promise<Taken> {
  if (wanted.size === 0) return Promise.resolve({ completed: 0, missing: new Set() });
  return new Taking(box, wanted, options).run();
}
