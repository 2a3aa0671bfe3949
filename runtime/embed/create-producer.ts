/** `createProducer`: sends events from any program. What it consists of is loaded with the first event, as with `createWorker`. */
import type { OpenProducer } from "./open-producer.ts";
import type { BatchedEvent, Contracts, Producer, ProducerConfig, ScheduledEvent, ScheduleOptions, SendOptions, SentEvent } from "./producer-types.ts";

/**
 * Makes a producer of events: canonical envelopes, with what a worker needs to route them and to know them again. Throws nothing; a configuration that
 * cannot be used rejects the first send with `ConfigurationError`.
 */
export function createProducer<const Events extends Contracts = Contracts>(config: ProducerConfig<Events>): Producer<Events> {
  return new LazyProducer<Events>(config);
}

class LazyProducer<Events extends Contracts> implements Producer<Events> {
  readonly #config: ProducerConfig;
  #open: Promise<OpenProducer> | undefined;
  #stopped: Promise<void> | undefined;
  /** What has been asked for and has not ended. */
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(config: ProducerConfig<Events>) {
    this.#config = config;
  }

  async send(eventType: string, payload: unknown, options: SendOptions = {}): Promise<SentEvent> {
    const [sent] = await this.#during((open) => open.sendAll([{ ...options, eventType, payload }]));
    if (sent === undefined) throw new RangeError("expected one event to be sent, found none");
    return sent;
  }

  async sendAll(events: readonly BatchedEvent<Contracts>[]): Promise<readonly SentEvent[]> {
    return this.#during((open) => open.sendAll(events));
  }

  async schedule(eventType: string, payload: unknown, options: ScheduleOptions): Promise<ScheduledEvent> {
    return this.#during((open) => open.schedule({ ...options, eventType, payload }));
  }

  async cancel(scheduled: Pick<ScheduledEvent, "entity" | "sequenceNumber">): Promise<void> {
    await this.#during((open) => open.cancel(scheduled));
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #during<Result>(work: (open: OpenProducer) => Promise<Result>): Promise<Result> {
    const done = this.#opened().then(work);
    this.#underWay.add(done);
    try {
      return await done;
    } finally {
      this.#underWay.delete(done);
    }
  }

  async #stop(): Promise<void> {
    await Promise.allSettled(this.#underWay);
    await (await this.#open?.catch(() => undefined))?.stop();
  }

  #opened(): Promise<OpenProducer> {
    if (this.#stopped !== undefined) return Promise.reject(new TypeError("expected a producer to send before it is stopped"));
    this.#open ??= import("./open-producer.ts")
      .then(({ openProducer }) => openProducer(this.#config))
      .catch((error: unknown) => {
        // The next send tries again.
        this.#open = undefined;
        throw error;
      });
    return this.#open;
  }
}
