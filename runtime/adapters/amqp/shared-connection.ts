/**
 * One connection for several transports: made for the first that starts, closed after the last that stops. Only what holds more sessions of
 * entities than fit beside those of others has a further one.
 */
import type { Clock } from "../../core/clock.ts";
import type { CredentialNews } from "../../core/credential-news.ts";
import { ConfigurationError } from "../../core/errors.ts";
import { BrokerConnection } from "./broker-connection.ts";
import { answerTimeoutDefaultMs, answerTimeoutMinMs, entitySessionsMax } from "./limits.ts";
import { type Namespace, type NamespaceOptions, parseNamespace } from "./namespace.ts";

export type SharedConnectionOptions = NamespaceOptions & {
  readonly clock: Clock;
  /** How long to wait for the broker's answer to a settlement or a management request, from 100 ms; 10 000 by default. */
  readonly answerTimeoutMs?: number;
  /** Hears what becomes of the tokens that its login lasts by. */
  readonly heard?: (news: CredentialNews) => void;
};

/** One of the connections, and what is on it. */
interface Shared {
  readonly broker: BrokerConnection;
  users: number;
  /** Sessions of entities that they may hold at once. */
  sessions: number;
}

export class SharedConnection {
  readonly answerTimeoutMs: number;
  readonly #options: SharedConnectionOptions;
  /** What holds no sessions is on the first. */
  readonly #all: Shared[] = [];

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

  /** Who joins leaves once, and says the same of its sessions: how many of an entity's it may hold at once. */
  join(namespace: Namespace, sessions: number): BrokerConnection {
    let shared = this.#all.find((known) => sessions === 0 || known.sessions + sessions <= entitySessionsMax);
    if (shared === undefined) {
      const { clock, heard } = this.#options;
      shared = { broker: new BrokerConnection({ namespace, clock, answerTimeoutMs: this.answerTimeoutMs, heard }), users: 0, sessions: 0 };
      this.#all.push(shared);
    }
    shared.users += 1;
    shared.sessions += sessions;
    return shared.broker;
  }

  async leave(broker: BrokerConnection, sessions: number): Promise<void> {
    const at = this.#all.findIndex((known) => known.broker === broker);
    const shared = this.#all[at];
    if (shared === undefined) return;
    shared.users -= 1;
    shared.sessions -= sessions;
    if (shared.users > 0) return;
    this.#all.splice(at, 1);
    await broker.stop();
  }
}
