/**
 * The transport on our own AMQP engine: one connection, a session for each link. Deliveries are views of the socket's bytes,
 * settlements leave in ranges of equal outcome at the end of a tick, and locks are renewed a thousand a request.
 */
import type { Timer } from "../../core/clock.ts";
import type { Delivery } from "../../core/delivery.ts";
import { TransportError } from "../../core/errors.ts";
import type { HeldSession, Receiver, ReceiverListener, RenewResult, SettleOrder, SettleResult, Transport } from "../../ports/transport.ts";
import type { BrokerConnection } from "./broker-connection.ts";
import { AmqpDelivery, sequenceNumberOf } from "./delivery.ts";
import { transportErrorOf } from "./errors.ts";
import { peekCount, peeksMax, sweepEveryMs } from "./limits.ts";
import { Management } from "./management.ts";
import { addressOf } from "./namespace.ts";
import type { Entity, Namespace } from "./namespace.ts";
import { EntityReceiver } from "./receiver.ts";
import type { ReceivingLink } from "./receiving-link.ts";
import { SessionLink } from "./session-link.ts";
import { EntitySessions } from "./sessions.ts";
import { SettleDeadlines } from "./settle-group.ts";
import { SharedConnection, type SharedConnectionOptions } from "./shared-connection.ts";

export type AmqpTransportOptions = SharedConnectionOptions & {
  readonly entity: Entity;
  /** Sessions of the entity that are held at once, at the most; default none. */
  readonly sessionsMax?: number | undefined;
};

/** Nothing is connected before `start`. The connection is its own, or one that others use, too. */
export function createAmqpTransport(options: AmqpTransportOptions, connection: SharedConnection = new SharedConnection(options)): Transport {
  return new AmqpTransport(options, connection);
}

class AmqpTransport implements Transport {
  /** AMQP's `released`, which Service Bus does not count. Only where the link is gone, management has to abandon instead. */
  readonly releaseIsFree = true;
  readonly #options: AmqpTransportOptions;
  readonly #address: string;
  readonly #connection: SharedConnection;
  readonly #deadlines: SettleDeadlines;
  readonly #receivers = new Set<EntityReceiver>();
  readonly #links = new Set<ReceivingLink>();
  #connected: Connected | undefined;
  #sweeper: Timer | undefined;
  #linkCount = 0;
  #stopped: Promise<void> | undefined;

  constructor(options: AmqpTransportOptions, connection: SharedConnection) {
    this.#options = options;
    this.#connection = connection;
    this.#address = addressOf(options.entity);
    this.#deadlines = new SettleDeadlines(options.clock, connection.answerTimeoutMs);
  }

  async start(): Promise<void> {
    const { clock, entity, sessionsMax = 0 } = this.#options;
    const address = this.#address;
    const { answerTimeoutMs, namespace } = this.#connection;
    const expected = `to reach the entity ${address} of ${namespace.host}`;
    refuseOtherEntity(expected, namespace, "queue" in entity ? entity.queue : entity.topic);
    const broker = this.#connection.join(namespace, sessionsMax);
    const management = new Management({ broker, address, clock, answerTimeoutMs });
    try {
      await management.start();
      // Nobody would close what is opened now.
      if (this.#stopped !== undefined) throw new TransportError(`expected ${expected}, found that the transport was stopped meanwhile; start another`);
    } catch (thrown) {
      management.stop();
      await this.#connection.leave(broker, sessionsMax);
      throw startError(expected, thrown);
    }
    const sessions = new EntitySessions({ broker, management, address, clock, answerTimeoutMs, newName: this.#newName });
    this.#connected = { broker, management, sessions };
    this.#sweep();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#sweeper?.cancel();
    const connected = this.#connected;
    // With no connection nothing can be given back, and nothing that is asked will be answered.
    if (connected?.broker.open === undefined) this.#deadlines.stop();
    await Promise.all([connected?.sessions.stop(), ...[...this.#receivers].map((receiver) => receiver.stop())]);
    connected?.management.stop();
    try {
      if (connected !== undefined) await this.#connection.leave(connected.broker, this.#options.sessionsMax ?? 0);
    } finally {
      this.#deadlines.stop();
    }
  }

  openReceiver(listener: ReceiverListener): Receiver {
    const { broker, management } = this.#open();
    const receiver = new EntityReceiver({
      listener,
      broker,
      management,
      address: this.#address,
      clock: this.#options.clock,
      newName: this.#newName,
      linkOpened: (link) => this.#links.add(link),
      linkEnded: (link) => this.#links.delete(link),
      stopped: (which) => this.#receivers.delete(which),
    });
    this.#receivers.add(receiver);
    return receiver;
  }

  requiresSessions(): Promise<boolean | undefined> {
    return this.#open().sessions.areRequired();
  }

  async acceptSession(waitMs: number): Promise<HeldSession | undefined> {
    return this.#open().sessions.accept(waitMs);
  }

  settle(orders: readonly SettleOrder[]): Promise<readonly SettleResult[]> {
    if (orders.length === 0) return Promise.resolve([]);
    const group = this.#deadlines.newGroup(orders.length);
    for (let index = 0; index < orders.length; index++) {
      const order = orders[index]!;
      const { delivery } = order;
      // A second order for a delivery could only contradict the first.
      if (!(delivery instanceof AmqpDelivery) || delivery.group !== undefined || this.#stopped !== undefined) {
        group.finish(index, "unknown");
        continue;
      }
      delivery.group = group;
      delivery.order = order;
      delivery.index = index;
      try {
        delivery.home.settle(delivery, order);
      } catch {
        // What cannot be told to the broker keeps no other order of the group: the lock of its message runs out.
        group.finish(index, "unknown");
      }
    }
    return group.whenAll;
  }

  async renew(deliveries: readonly Delivery[]): Promise<readonly RenewResult[]> {
    const ours = deliveries.filter((delivery) => delivery instanceof AmqpDelivery && !delivery.isLost) as AmqpDelivery[];
    const results = this.#connected === undefined || this.#stopped !== undefined ? undefined : await renewEach(this.#connected.management, ours);
    return deliveries.map((delivery) => {
      if (!(delivery instanceof AmqpDelivery) || results === undefined) return { kind: "unknown" };
      return delivery.isLost ? { kind: "lock-lost" } : (results.get(delivery) ?? { kind: "unknown" });
    });
  }

  async reconnect(): Promise<void> {
    this.#connected?.broker.abort(new TransportError(`expected messages of ${this.#address}, found none on a connection that seemed sound; another is made`));
  }

  /** Looks from the head for a message that is neither deferred nor scheduled nor held by this transport. */
  async hasBacklog(): Promise<boolean> {
    const { management, sessions } = this.#open();
    const held = new Set<bigint>();
    for (const link of [...this.#links, ...sessions.links]) link.forEachUnsettled((delivery) => held.add(delivery.sequenceNumber));
    let from = 0n;
    try {
      for (let look = 0; look < peeksMax; look++) {
        const messages = await management.peek(from, peekCount);
        for (const message of messages) {
          const sequenceNumber = sequenceNumberOf(message);
          if (sequenceNumber >= from) from = sequenceNumber + 1n;
          if (message.messageAnnotations?.number(messageState) === activeState && !held.has(sequenceNumber)) return true;
        }
        if (messages.length === 0) return false;
      }
      return false;
    } catch (thrown) {
      throw transportErrorOf(`to look into ${this.#address}`, thrown);
    }
  }

  readonly #newName = (): string => `${this.#address}-${process.pid}-${(this.#linkCount += 1)}`;

  #open(): Connected {
    if (this.#connected === undefined) throw new TransportError("expected a started transport, found one that was not started; await start() first");
    return this.#connected;
  }

  #sweep(): void {
    this.#sweeper = this.#options.clock.after(sweepEveryMs, () => {
      for (const link of this.#links) link.sweep();
      this.#sweep();
    });
  }
}

interface Connected {
  readonly broker: BrokerConnection;
  readonly management: Management;
  readonly sessions: EntitySessions;
}

/** A message of a session is locked by its session's lock. */
async function renewEach(management: Management, deliveries: readonly AmqpDelivery[]): Promise<Map<AmqpDelivery, RenewResult>> {
  const alone = deliveries.filter(({ home }) => !(home instanceof SessionLink));
  const results = new Map(alone.length === 0 ? [] : await management.renew(alone));
  if (alone.length === deliveries.length) return results;
  const renewSession = async (delivery: AmqpDelivery): Promise<void> => {
    if (delivery.home instanceof SessionLink) results.set(delivery, await delivery.home.renew());
  };
  await Promise.all(deliveries.map(renewSession));
  return results;
}

const messageState = "x-opt-message-state";
const activeState = 0;

/** A connection string may be for one entity only. */
function refuseOtherEntity(expected: string, { entityPath }: Namespace, entity: string): void {
  if (entityPath === undefined || entityPath.toLowerCase() === entity.toLowerCase()) return;
  throw new TransportError(`expected ${expected}, found a connection string whose EntityPath is ${entityPath}; use one for the namespace or for this entity`);
}

/** Says first what was to be reached. */
function startError(expected: string, thrown: unknown): TransportError {
  const error = transportErrorOf(expected, thrown);
  if (error.message.startsWith(`expected ${expected}`)) return error;
  const found = error.message.replace(/^expected .*?, found /s, "");
  const { cause, retryAfterMs, isPermanent, entityTrouble } = error;
  return new TransportError(`expected ${expected}, found ${found}`, { cause, retryAfterMs, isPermanent, entityTrouble });
}
