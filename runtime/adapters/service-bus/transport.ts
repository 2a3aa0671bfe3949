import type { PeekMessagesOptions, ServiceBusClient, ServiceBusReceiver } from "@azure/service-bus";
import Long from "long";
import type { Clock } from "../../core/clock.ts";
import type { Delivery } from "../../core/delivery.ts";
import { ConfigurationError, TransportError } from "../../core/errors.ts";
import type { HeldSession, Receiver, ReceiverListener, RenewResult, SettleOrder, SettleResult, Transport } from "../../ports/transport.ts";
import { createClient, createReceiver, nameOf, type ServiceBusConnection, type ServiceBusEntity } from "./client.ts";
import { ServiceBusDelivery } from "./delivery.ts";
import { transportErrorOf } from "./errors.ts";
import {
  answerTimeoutDefaultMs,
  answerTimeoutMinMs,
  closeTimeoutMs,
  creditDefault,
  creditLimit,
  deliveriesPerLinkDefault,
  peekCount,
  peeksMax,
} from "./limits.ts";
import { Link } from "./link.ts";
import { ManagementLane } from "./management-lane.ts";
import { LinkReceiver } from "./receiver.ts";
import { SessionDelivery } from "./session.ts";
import { EntitySessions } from "./sessions.ts";
import { SettleGroup } from "./settling.ts";
import { SharedClient } from "./shared-client.ts";
import { guardAgainstStrayRejections } from "./stray-rejections.ts";
import { settledWithin } from "../support/waiting.ts";

export type ServiceBusTransportOptions = ServiceBusConnection & {
  readonly entity: ServiceBusEntity;
  readonly clock: Clock;
  /** The most credit a link holds at once, from 1 to 500; 500 by default. More may be granted; it waits its turn. */
  readonly creditMax?: number;
  /** Deliveries after which a link is replaced; a thousand million by default. */
  readonly deliveriesPerLinkMax?: number;
  /** How long to wait for the broker's answer to a settlement or a management request, from 100 ms; 10 000 by default. */
  readonly answerTimeoutMs?: number;
};

/**
 * A transport on the official SDK. Nothing is connected before `start`.
 *
 * The SDK settles by complete, abandon, defer and dead-letter, and knows nothing of AMQP's `released`: whatever goes back counts
 * as a delivery, and so does a lock that is left to end. So the less is taken that cannot begin soon, the better: see
 * `releaseIsFree`. What remains: a message that neither began nor could begin before a stop's budget is over, one that comes
 * when a client that hangs is given up, one that comes without credit, and one that is given back while the store or the
 * broker cannot be reached, has each counted one delivery.
 */
export function createServiceBusTransport(options: ServiceBusTransportOptions, shared: SharedClient = sharedServiceBusClient(options)): Transport {
  return new ServiceBusTransport(options, shared);
}

/** The client, and with it the connection, of the transports of one namespace. */
export function sharedServiceBusClient(options: ServiceBusConnection & Pick<ServiceBusTransportOptions, "answerTimeoutMs">): SharedClient {
  return new SharedClient(() => newClient(options, options.answerTimeoutMs ?? answerTimeoutDefaultMs));
}

/**
 * Without retries of the SDK's own: it would settle again at a moment that the settlement lane does not know of, and receive
 * again over a link of the same name.
 */
function newClient(connection: ServiceBusConnection, answerTimeoutMs: number): ServiceBusClient {
  return createClient(connection, { answerTimeoutMs, retriesMax: 0 });
}

class ServiceBusTransport implements Transport {
  readonly releaseIsFree = false;
  readonly #options: ServiceBusTransportOptions;
  readonly #shared: SharedClient;
  readonly #creditMax: number;
  readonly #answerTimeoutMs: number;
  readonly #receivers = new Set<LinkReceiver>();
  readonly #links = new Set<Link>();
  readonly #sessions: EntitySessions;
  #connected: Connected | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: ServiceBusTransportOptions, shared: SharedClient) {
    this.#shared = shared;
    const { creditMax = creditDefault, answerTimeoutMs = answerTimeoutDefaultMs } = options;
    if (!Number.isInteger(creditMax) || creditMax < 1 || creditMax > creditLimit) {
      throw new ConfigurationError(`expected creditMax to be a whole number from 1 to ${creditLimit}, got ${creditMax}`);
    }
    if (!(answerTimeoutMs >= answerTimeoutMinMs))
      throw new ConfigurationError(`expected answerTimeoutMs of at least ${answerTimeoutMinMs}, got ${answerTimeoutMs}`);
    this.#options = options;
    this.#creditMax = creditMax;
    this.#answerTimeoutMs = answerTimeoutMs;
    this.#sessions = new EntitySessions({ ...options, answerTimeoutMs, client: () => this.#open().client });
  }

  async start(): Promise<void> {
    const { entity, clock } = this.#options;
    guardAgainstStrayRejections();
    const client = this.#shared.join();
    try {
      // It only settles, renews and peeks, so that no link of its own is ever lost.
      const manager = createReceiver(client, entity);
      await manager.peekMessages(1, peekWithoutBody(Long.ZERO));
      // Nobody would close what is opened now.
      if (this.#stopped !== undefined) throw new Error("the transport was stopped meanwhile; start another");
      this.#connected = { client, leave: () => this.#shared.leave(), manager, management: new ManagementLane(manager, clock, this.#answerTimeoutMs) };
    } catch (error) {
      await settledWithin(clock, closeTimeoutMs, this.#shared.leave());
      throw transportErrorOf(`to reach the entity ${nameOf(entity)} of ${client.fullyQualifiedNamespace}`, error);
    }
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    await Promise.all([this.#sessions.stop(), ...[...this.#receivers].map((receiver) => receiver.stop())]);
    if (this.#connected === undefined) return;
    await settledWithin(this.#options.clock, closeTimeoutMs, this.#connected.leave());
    for (const link of this.#links) link.lose();
  }

  /** The new connection is its own: a shared one may be sound for others. */
  async reconnect(): Promise<void> {
    const before = this.#connected;
    if (before === undefined || this.#stopped !== undefined) return;
    const client = newClient(this.#options, this.#answerTimeoutMs);
    const manager = createReceiver(client, this.#options.entity);
    before.management.use(manager);
    this.#connected = { client, leave: () => client.close(), manager, management: before.management };
    for (const link of this.#links) link.lose();
    await settledWithin(this.#options.clock, closeTimeoutMs, before.leave());
  }

  openReceiver(listener: ReceiverListener): Receiver {
    this.#open();
    const { clock, entity, deliveriesPerLinkMax = deliveriesPerLinkDefault } = this.#options;
    const receiver = new LinkReceiver({
      listener,
      clock,
      creditMax: this.#creditMax,
      stopped: (which) => this.#receivers.delete(which),
      newLink: (isStarved, closed) => {
        const { client, manager, management } = this.#open();
        const link = new Link({
          receiver: createReceiver(client, entity),
          settler: manager,
          management,
          clock,
          deliveriesMax: deliveriesPerLinkMax,
          isStarved,
          closed: (which) => {
            this.#links.delete(which);
            closed(which);
          },
        });
        this.#links.add(link);
        return link;
      },
    });
    this.#receivers.add(receiver);
    return receiver;
  }

  requiresSessions(): Promise<boolean | undefined> {
    return this.#sessions.areRequired();
  }

  async acceptSession(_waitMs: number): Promise<HeldSession | undefined> {
    return this.#sessions.accept();
  }

  settle(orders: readonly SettleOrder[]): Promise<readonly SettleResult[]> {
    const group = new SettleGroup(orders.length);
    orders.forEach((order, index) => {
      const { delivery } = order;
      // A second order for a delivery could only contradict the first.
      if (!(delivery instanceof ServiceBusDelivery) || delivery.ordered) {
        group.finish(index, "unknown");
        return;
      }
      delivery.ordered = true;
      delivery.home.settle(order, delivery, group, index);
    });
    return group.whenAll;
  }

  async renew(deliveries: readonly Delivery[]): Promise<readonly RenewResult[]> {
    const management = this.#connected?.management;
    return Promise.all(
      deliveries.map((delivery): Promise<RenewResult> => {
        if (delivery instanceof SessionDelivery) return delivery.session.renew();
        return management !== undefined && delivery instanceof ServiceBusDelivery ? management.renew(delivery) : Promise.resolve({ kind: "unknown" });
      }),
    );
  }

  /** Looks from the head for a message that is neither deferred nor scheduled nor held by this transport. */
  async hasBacklog(): Promise<boolean> {
    const { manager } = this.#open();
    const held = new Set<bigint>();
    for (const link of [...this.#links, this.#sessions]) for (const delivery of link.unsettled()) held.add(delivery.sequenceNumber);
    let from = Long.ZERO;
    try {
      for (let look = 0; look < peeksMax; look += 1) {
        const messages = await manager.peekMessages(peekCount, peekWithoutBody(from));
        for (const { state, sequenceNumber } of messages) {
          if (state === "active" && sequenceNumber !== undefined && !held.has(BigInt(sequenceNumber.toString()))) return true;
        }
        const last = messages.at(-1)?.sequenceNumber;
        if (last === undefined) return false;
        from = last.add(1);
      }
      return false;
    } catch (error) {
      throw transportErrorOf(`to look into ${nameOf(this.#options.entity)}`, error);
    }
  }

  #open(): Connected {
    if (this.#connected === undefined) throw new TransportError("expected a started transport, found one that was not started; await start() first");
    return this.#connected;
  }
}

/** Bodies can be left out of a look, though the SDK's public types do not say so. */
function peekWithoutBody(fromSequenceNumber: Long): PeekMessagesOptions {
  return { fromSequenceNumber, omitMessageBody: true } as PeekMessagesOptions;
}

interface Connected {
  readonly client: ServiceBusClient;
  /** Closes the client, where nobody else uses it. */
  leave(): Promise<void>;
  readonly manager: ServiceBusReceiver;
  readonly management: ManagementLane;
}
