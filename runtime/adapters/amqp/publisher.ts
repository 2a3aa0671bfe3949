import type { Clock } from "../../core/clock.ts";
import type { OutgoingMessage } from "../../core/delivery.ts";
import type { CredentialNews } from "../../core/credential-news.ts";
import { ConfigurationError, TransportError } from "../../core/errors.ts";
import type { Publisher } from "../../ports/publisher.ts";
import { BrokerConnection } from "./broker-connection.ts";
import { answerTimeoutDefaultMs, answerTimeoutMinMs } from "./limits.ts";
import { parseNamespace } from "./namespace.ts";
import type { Namespace, NamespaceOptions } from "./namespace.ts";
import { Outlet } from "./outlet.ts";

export type AmqpPublisherOptions = NamespaceOptions & {
  readonly clock: Clock;
  /** How long to wait for the broker to accept a batch, and to try again when it is gone, from 100 ms; 10 000 by default. */
  readonly answerTimeoutMs?: number;
  /** Hears what becomes of the tokens that its login lasts by. */
  readonly heard?: (news: CredentialNews) => void;
};

/** The broker is connected with the first message, and an entity with the first message sent to it. */
export function createAmqpPublisher(options: AmqpPublisherOptions): Publisher {
  return new AmqpPublisher(options);
}

class AmqpPublisher implements Publisher {
  readonly #options: AmqpPublisherOptions;
  readonly #answerTimeoutMs: number;
  readonly #outlets = new Map<string, Outlet>();
  #started: { readonly broker: BrokerConnection; readonly namespace: Namespace } | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: AmqpPublisherOptions) {
    const { answerTimeoutMs = answerTimeoutDefaultMs } = options;
    if (!(answerTimeoutMs >= answerTimeoutMinMs))
      throw new ConfigurationError(`expected answerTimeoutMs of at least ${answerTimeoutMinMs}, got ${answerTimeoutMs}`);
    this.#options = options;
    this.#answerTimeoutMs = answerTimeoutMs;
  }

  async start(): Promise<void> {
    const namespace = parseNamespace(this.#options);
    const { clock, heard } = this.#options;
    this.#started = { namespace, broker: new BrokerConnection({ namespace, clock, answerTimeoutMs: this.#answerTimeoutMs, heard }) };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    await Promise.all([...this.#outlets.values()].map((outlet) => outlet.whenIdle()));
    for (const outlet of this.#outlets.values()) outlet.stop();
    await this.#started?.broker.stop();
  }

  async send(entity: string, messages: readonly OutgoingMessage[]): Promise<void> {
    if (this.#started === undefined || this.#stopped !== undefined) {
      throw new TransportError(
        `expected a running publisher for ${messages.length} messages to ${entity}, found one that ${this.#started === undefined ? "was not started" : "has stopped"}; send between start and stop`,
      );
    }
    if (messages.length === 0) return;
    const { broker, namespace } = this.#started;
    const { entityPath } = namespace;
    if (entityPath !== undefined && entityPath.toLowerCase() !== entity.toLowerCase()) {
      throw new TransportError(
        `expected to send to ${entity}, found a connection string whose EntityPath is ${entityPath}; use one for the namespace or for this entity`,
        { isPermanent: true },
      );
    }
    let outlet = this.#outlets.get(entity);
    if (outlet === undefined) {
      outlet = new Outlet({ broker, address: entity, clock: this.#options.clock, answerTimeoutMs: this.#answerTimeoutMs });
      this.#outlets.set(entity, outlet);
    }
    await outlet.send(messages);
  }
}
