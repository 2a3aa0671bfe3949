// Entities of a run's own in a namespace, and what the adapters make of them. Everything carries the run's prefix, and is deleted with it.
import { randomBytes } from "node:crypto";
import { type CreateQueueOptions, ServiceBusAdministrationClient } from "@azure/service-bus";
import type { TokenCredential } from "@azure/identity";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { Delivery, OutgoingMessage } from "#runtime/core/delivery.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import type { Transport } from "#runtime/ports/transport.ts";
import { type Entity, Inbox } from "../support/transport-bench.ts";

export type Login = { readonly connectionString: string } | { readonly fullyQualifiedNamespace: string; readonly credential: TokenCredential };

export const prefixOfAll = "holdfast-proof-";
/** What an earlier run has left behind, that could not clean up. */
const leftBehindAfterMs = 3_600_000;
/** How long a delivery, a lock or a copy may be late. */
export const patienceMs = 30_000;

export class Scene {
  readonly prefix: string;
  readonly admin: ServiceBusAdministrationClient;
  readonly #login: Login;
  readonly #queues: string[] = [];
  readonly #parts: { stop(): Promise<void> }[] = [];

  constructor(login: Login) {
    this.#login = login;
    this.prefix = `${prefixOfAll}${Math.floor(Date.now() / 1_000)}-${randomBytes(3).toString("hex")}`;
    this.admin =
      "connectionString" in login
        ? new ServiceBusAdministrationClient(login.connectionString)
        : new ServiceBusAdministrationClient(login.fullyQualifiedNamespace, login.credential);
  }

  /** A new queue; its full name. */
  async queue(name: string, options: CreateQueueOptions = {}): Promise<string> {
    const full = `${this.prefix}-${name}`;
    this.#queues.push(full);
    await this.admin.createQueue(full, {
      lockDuration: "PT30S",
      maxDeliveryCount: 10,
      defaultMessageTimeToLive: "P1D",
      deadLetteringOnMessageExpiration: true,
      ...options,
    });
    return full;
  }

  newTransport(entity: Entity, login: Login = this.#login): Transport {
    const transport = createAmqpTransport({ ...login, entity, clock: systemClock });
    this.#parts.push(transport);
    return transport;
  }

  async transport(entity: Entity): Promise<Transport> {
    const transport = this.newTransport(entity);
    await transport.start();
    return transport;
  }

  async publisher(): Promise<Publisher> {
    const publisher = createAmqpPublisher({ ...this.#login, clock: systemClock });
    this.#parts.push(publisher);
    await publisher.start();
    return publisher;
  }

  /** Sends messages with these ids. */
  async send(queue: string, ids: readonly string[], more: Partial<OutgoingMessage> = {}): Promise<void> {
    const publisher = await this.publisher();
    await publisher.send(
      queue,
      ids.map((messageId) => ({ messageId, body: Buffer.from(`body of ${messageId}`), headers: {}, ...more })),
    );
  }

  /** The next one of a queue, by a receiver of its own, which has stopped by then. */
  async receiveOne(transport: Transport, deadlineMs: number = patienceMs): Promise<Delivery> {
    const inbox = new Inbox(transport);
    inbox.addCredit(1);
    const delivery = await inbox.at(0, deadlineMs);
    await inbox.receiver.stop();
    return delivery;
  }

  get login(): Login {
    return this.#login;
  }

  /** Deletes what this run made, and what one before it left. */
  async cleanUp(): Promise<readonly string[]> {
    await Promise.allSettled(this.#parts.map((part) => part.stop()));
    const old: string[] = [];
    for await (const { name } of this.admin.listQueues()) {
      const [, madeAt] = /^holdfast-proof-(\d+)-/.exec(name) ?? [];
      if (madeAt !== undefined && Number(madeAt) * 1_000 < Date.now() - leftBehindAfterMs) old.push(name);
    }
    const results = await Promise.allSettled([...this.#queues, ...old].map((name) => this.admin.deleteQueue(name)));
    return results.flatMap((result, index) => (result.status === "rejected" ? [[...this.#queues, ...old][index] ?? ""] : []));
  }
}
