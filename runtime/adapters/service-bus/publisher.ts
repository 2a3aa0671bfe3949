import type { ServiceBusClient } from "@azure/service-bus";
import type { Clock } from "../../core/clock.ts";
import type { OutgoingMessage } from "../../core/delivery.ts";
import { ConfigurationError, messageOf, TransportError } from "../../core/errors.ts";
import type { Publisher } from "../../ports/publisher.ts";
import { createClient, type ServiceBusConnection } from "./client.ts";
import { answerTimeoutMinMs, closeTimeoutMs, sendRetriesMax, sendTimeoutDefaultMs } from "./limits.ts";
import { Outlet } from "./outlet.ts";
import { settledWithin } from "../support/waiting.ts";

export type ServiceBusPublisherOptions = ServiceBusConnection & {
  readonly clock: Clock;
  /**
   * How long to wait for the broker to accept a batch, from 100 ms; 5 000 by default. Then it is sent again, twice at most. The
   * SDK does not notice by itself that an answer can no longer come, for instance because the connection broke.
   */
  readonly answerTimeoutMs?: number;
};

/** A publisher on the official SDK. An entity is connected with the first message sent to it. */
export function createServiceBusPublisher(options: ServiceBusPublisherOptions): Publisher {
  return new ServiceBusPublisher(options);
}

class ServiceBusPublisher implements Publisher {
  readonly #options: ServiceBusPublisherOptions;
  readonly #answerTimeoutMs: number;
  readonly #outlets = new Map<string, Outlet>();
  #client: ServiceBusClient | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: ServiceBusPublisherOptions) {
    const { answerTimeoutMs = sendTimeoutDefaultMs } = options;
    if (!(answerTimeoutMs >= answerTimeoutMinMs))
      throw new ConfigurationError(`expected answerTimeoutMs of at least ${answerTimeoutMinMs}, got ${answerTimeoutMs}`);
    this.#options = options;
    this.#answerTimeoutMs = answerTimeoutMs;
  }

  async start(): Promise<void> {
    this.#client = createClient(this.#options, { answerTimeoutMs: this.#answerTimeoutMs, retriesMax: sendRetriesMax });
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    await Promise.all([...this.#outlets.values()].map((outlet) => outlet.whenIdle()));
    if (this.#client !== undefined) await settledWithin(this.#options.clock, closeTimeoutMs, this.#client.close());
  }

  async send(entity: string, messages: readonly OutgoingMessage[]): Promise<void> {
    if (this.#client === undefined || this.#stopped !== undefined) {
      throw new TransportError(
        `expected a running publisher for ${messages.length} messages to ${entity}, found one that ${this.#client === undefined ? "was not started" : "has stopped"}; send between start and stop`,
      );
    }
    if (messages.length === 0) return;
    await this.#outletTo(entity, this.#client).send(messages);
  }

  #outletTo(entity: string, client: ServiceBusClient): Outlet {
    const known = this.#outlets.get(entity);
    if (known !== undefined) return known;
    try {
      const outlet = new Outlet(client.createSender(entity), entity, this.#options.clock);
      this.#outlets.set(entity, outlet);
      return outlet;
    } catch (cause) {
      throw new TransportError(`expected to send to ${entity}, found ${messageOf(cause)}; correct the entity's name or the connection string`, {
        cause,
        isPermanent: true,
      });
    }
  }
}
