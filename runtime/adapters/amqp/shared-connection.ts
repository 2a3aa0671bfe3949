/** One connection for several transports: made for the first that starts, closed after the last that stops. */
import type { Clock } from "../../core/clock.ts";
import type { CredentialNews } from "../../core/credential-news.ts";
import { ConfigurationError } from "../../core/errors.ts";
import { BrokerConnection } from "./broker-connection.ts";
import { answerTimeoutDefaultMs, answerTimeoutMinMs } from "./limits.ts";
import { type Namespace, type NamespaceOptions, parseNamespace } from "./namespace.ts";

export type SharedConnectionOptions = NamespaceOptions & {
  readonly clock: Clock;
  /** How long to wait for the broker's answer to a settlement or a management request, from 100 ms; 10 000 by default. */
  readonly answerTimeoutMs?: number;
  /** Hears what becomes of the tokens that its login lasts by. */
  readonly heard?: (news: CredentialNews) => void;
};

export class SharedConnection {
  readonly answerTimeoutMs: number;
  readonly #options: SharedConnectionOptions;
  #broker: BrokerConnection | undefined;
  #users = 0;

  /** Nothing is connected before somebody joins. Throws `ConfigurationError`. */
  constructor(options: SharedConnectionOptions) {
    const { answerTimeoutMs = answerTimeoutDefaultMs } = options;
    if (!(answerTimeoutMs >= answerTimeoutMinMs))
      throw new ConfigurationError(`expected answerTimeoutMs of at least ${answerTimeoutMinMs}, got ${answerTimeoutMs}`);
    this.answerTimeoutMs = answerTimeoutMs;
    this.#options = options;
  }

  /** Throws `ConfigurationError`. */
  get namespace(): Namespace {
    return parseNamespace(this.#options);
  }

  /** Who joins leaves once. */
  join(namespace: Namespace): BrokerConnection {
    this.#users += 1;
    const { clock, heard } = this.#options;
    this.#broker ??= new BrokerConnection({ namespace, clock, answerTimeoutMs: this.answerTimeoutMs, heard });
    return this.#broker;
  }

  async leave(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0) return;
    const broker = this.#broker;
    this.#broker = undefined;
    await broker?.stop();
  }
}
