/** What is asked of an entity's sessions on one connection: whether it has any, and the next one that is free. */
import type { LinkEnd } from "../../amqp/link/link.ts";
import type { Clock } from "../../core/clock.ts";
import { TransportError } from "../../core/errors.ts";
import type { HeldSession } from "../../ports/transport.ts";
import { answeredWithin } from "../support/waiting.ts";
import type { BrokerConnection, OpenConnection } from "./broker-connection.ts";
import { errorOf, isUnauthorized, transportErrorOf } from "./errors.ts";
import type { Management } from "./management.ts";
import { SessionLink, type SessionLinkOptions, isNoneInTime } from "./session-link.ts";

export interface EntitySessionsOptions {
  readonly broker: BrokerConnection;
  readonly management: Management;
  readonly address: string;
  readonly clock: Clock;
  readonly answerTimeoutMs: number;
  readonly newName: () => string;
}

export class EntitySessions {
  readonly #options: EntitySessionsOptions;
  readonly #links = new Set<SessionLink>();
  #isStopped = false;

  constructor(options: EntitySessionsOptions) {
    this.#options = options;
  }

  /** Those that are held, and those that are waited for. */
  get links(): Iterable<SessionLink> {
    return this.#links;
  }

  async accept(waitMs: number): Promise<HeldSession | undefined> {
    const { broker, management, address, clock, answerTimeoutMs, newName } = this.#options;
    const connection = await this.#connection();
    if (this.#isStopped) return undefined;
    const { promise, resolve, reject } = Promise.withResolvers<HeldSession | undefined>();
    const link = this.#attach({
      connection: connection.engine,
      address,
      name: newName(),
      clock,
      management,
      waitMs,
      held: (held) => {
        broker.proved();
        resolve(held);
      },
      ended: (which, end) => {
        this.#links.delete(which);
        if (isNoneInTime(end.error) || this.#isStopped) resolve(undefined);
        else reject(this.#refused(connection, end));
      },
    });
    this.#links.add(link);
    const late = (): TransportError =>
      new TransportError(
        `expected an answer about the next session of ${address} within ${Math.round(waitMs + answerTimeoutMs)} ms, found none; check that the broker is up and reachable`,
      );
    try {
      return await answeredWithin(clock, waitMs + answerTimeoutMs, promise, late);
    } catch (error) {
      void link.release();
      throw error;
    }
  }

  #attach(options: SessionLinkOptions): SessionLink {
    try {
      return new SessionLink(options);
    } catch (thrown) {
      throw transportErrorOf(`the next session of ${options.address}`, thrown);
    }
  }

  /** A receiver without a session is refused where sessions are required. It asks for no message. */
  async areRequired(): Promise<boolean | undefined> {
    const { address, clock, answerTimeoutMs, newName } = this.#options;
    try {
      const connection = await this.#connection();
      const name = newName();
      const session = connection.engine.begin({});
      const answer = new Promise<boolean | undefined>((resolve) => {
        session.openReceiver(
          { name, source: { address }, target: { address: name }, senderSettleMode: "unsettled", receiverSettleMode: "second" },
          {
            onDelivery: () => {},
            onAttach: () => resolve(false),
            onDetach: (_receiver, { error }) => {
              const isWrongKind = error?.condition === "amqp:not-allowed" && /session/i.test(error.description ?? "");
              resolve(isWrongKind ? true : undefined);
            },
          },
        );
      });
      return await answeredWithin(clock, answerTimeoutMs, answer, () => new TransportError("late")).finally(() => session.end());
    } catch {
      return undefined;
    }
  }

  /** Lets go of every session. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all([...this.#links].map((link) => link.release()));
  }

  async #connection(): Promise<OpenConnection> {
    const { broker, address } = this.#options;
    const { open } = broker;
    if (open === undefined) throw new TransportError(`expected a connection to read the sessions of ${address}, found none; it is made again`);
    await open.authorize(address);
    if (broker.open !== open)
      throw new TransportError(`expected the connection to read the sessions of ${address} to last, found that it broke; it is made again`);
    return open;
  }

  #refused(connection: OpenConnection, { error }: LinkEnd): TransportError {
    const { address } = this.#options;
    if (isUnauthorized(error)) connection.refused(address);
    return errorOf(`the next session of ${address}`, error, "that the link was detached");
  }
}
