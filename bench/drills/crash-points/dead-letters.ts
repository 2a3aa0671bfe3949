/** The dead-letter queue of the model broker, as commands that look into it and take from it see it. */
import type { Delivery, HeaderValue } from "#runtime/core/delivery.ts";
import type { DeadLetterBox } from "#runtime/ports/dead-letters.ts";
import type { Receiver, ReceiverListener, SettleOrder, SettleResult, Transport } from "#runtime/ports/transport.ts";
import { type ModelBroker, queueName } from "#runtime/testing/world/model-broker.ts";
import type { Stored } from "#runtime/testing/world/model-queue.ts";
import type { ProcessClock } from "#runtime/testing/world/sim-clock.ts";

interface LetterLock {
  readonly untilMs: number;
}

interface LockedLetter extends Delivery {
  readonly stored: Stored;
  readonly lock: LetterLock;
}

/** Locked letters come back when their locks end: whoever asks for some waits for it. */
export class DeadLetters {
  readonly broker: ModelBroker;
  readonly #locks = new Map<Stored, LetterLock>();
  readonly #receivers = new Set<LetterReceiver>();

  constructor(broker: ModelBroker) {
    this.broker = broker;
  }

  boxFor(clock: ProcessClock): DeadLetterBox {
    return {
      name: `${queueName}/$DeadLetterQueue`,
      isOwn: true,
      transport: new LetterTransport(this, clock),
      start: async () => undefined,
      stop: async () => undefined,
      peek: async (from, count) => {
        const letters = this.broker.deadLettered.filter(({ sequenceNumber }) => sequenceNumber >= from).slice(0, count);
        return letters.map((stored) => ({
          delivery: deliveryOf(stored, { untilMs: 0 }),
          state: "active",
          scheduledAtMs: undefined,
          deadLetterSource: undefined,
        }));
      },
    };
  }

  open(receiver: LetterReceiver): void {
    this.#receivers.add(receiver);
  }

  close(receiver: LetterReceiver): void {
    this.#receivers.delete(receiver);
  }

  pump(): void {
    for (const receiver of this.#receivers) receiver.offer(this.#free());
  }

  lock(stored: Stored): LockedLetter {
    const { clock, lockMs } = this.broker;
    const lock: LetterLock = { untilMs: clock.wallMs() + lockMs };
    this.#locks.set(stored, lock);
    clock.after(lockMs, () => this.pump());
    return deliveryOf(stored, lock);
  }

  settle({ verb, delivery }: SettleOrder): SettleResult {
    const { stored, lock } = delivery as LockedLetter;
    if (!this.#isLocked(stored) || this.#locks.get(stored) !== lock) return "lock-lost";
    this.#locks.delete(stored);
    if (verb === "complete") {
      stored.state = "completed";
      stored.reason = undefined;
    } else this.broker.clock.soon(() => this.pump());
    return "settled";
  }

  #free(): Stored[] {
    return this.broker.deadLettered.filter((stored) => !this.#isLocked(stored));
  }

  #isLocked(stored: Stored): boolean {
    return (this.#locks.get(stored)?.untilMs ?? 0) > this.broker.clock.wallMs();
  }
}

function deliveryOf(stored: Stored, lock: LetterLock): LockedLetter {
  const { message, sequenceNumber, enqueuedAtMs, properties } = stored;
  const headers: Readonly<Record<string, HeaderValue>> = { ...message.headers, ...properties };
  return {
    stored,
    lock,
    messageId: message.messageId,
    sequenceNumber,
    attempt: 1,
    lockedUntilMs: lock.untilMs,
    enqueuedAtMs,
    contentType: message.contentType,
    correlationId: undefined,
    subject: message.subject,
    body: message.body,
    bodySection: "data",
    timeToLiveMs: message.timeToLiveMs,
    header: (name) => headers[name],
    headers: () => headers,
    particulars: () => ({ correlationId: message.correlationId }),
  };
}

class LetterReceiver implements Receiver {
  readonly #letters: DeadLetters;
  readonly #clock: ProcessClock;
  readonly #listener: ReceiverListener;
  #credit = 0;

  constructor(letters: DeadLetters, clock: ProcessClock, listener: ReceiverListener) {
    this.#letters = letters;
    this.#clock = clock;
    this.#listener = listener;
    letters.open(this);
  }

  addCredit(count: number): void {
    this.#credit += count;
    this.#letters.broker.clock.soon(() => this.#letters.pump());
  }

  offer(letters: readonly Stored[]): void {
    const { broker } = this.#letters;
    const taken = this.#clock.isDead ? [] : letters.slice(0, this.#credit).map((stored) => this.#letters.lock(stored));
    if (taken.length === 0) return;
    this.#credit -= taken.length;
    broker.clock.after(broker.latencyMs, () => this.#clock.run(() => this.#listener.deliveries(taken)));
  }

  /** What is on its way arrives first. */
  async stop(): Promise<void> {
    const { broker } = this.#letters;
    this.#letters.close(this);
    await this.#clock.hear(broker.clock.delay(broker.latencyMs));
  }
}

class LetterTransport implements Transport {
  readonly releaseIsFree = true;
  readonly #letters: DeadLetters;
  readonly #clock: ProcessClock;

  constructor(letters: DeadLetters, clock: ProcessClock) {
    this.#letters = letters;
    this.#clock = clock;
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  async reconnect(): Promise<void> {}

  async requiresSessions(): Promise<boolean> {
    return false;
  }

  acceptSession(): Promise<undefined> {
    throw new Error("expected no command to read dead letters by session");
  }

  openReceiver(listener: ReceiverListener): Receiver {
    return new LetterReceiver(this.#letters, this.#clock, listener);
  }

  async settle(orders: readonly SettleOrder[]): Promise<readonly SettleResult[]> {
    const { clock, latencyMs } = this.#letters.broker;
    await clock.delay(latencyMs);
    const results = orders.map((order) => this.#letters.settle(order));
    return this.#clock.hear(clock.delay(latencyMs).then(() => results));
  }

  renew(): Promise<readonly []> {
    throw new Error("expected no command to renew the locks of letters");
  }

  async hasBacklog(): Promise<boolean> {
    return this.#letters.broker.deadLettered.length > 0;
  }
}
