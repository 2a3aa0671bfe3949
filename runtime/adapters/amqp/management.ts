/**
 * What is asked of the entity outside of links: renewing locks, settling what has no link any more, looking for messages. The
 * link to the entity's `$management` node is opened with the connection and again when it is lost; requests that find none
 * wait for it, no longer than an answer may take.
 */
import type { ErrorCondition } from "../../amqp/message/condition.ts";
import { MessageView } from "../../amqp/message/message.ts";
import { array, int, long, uuid } from "../../amqp/codec/types.ts";
import type { Encodable, Fields, Plain } from "../../amqp/codec/types.ts";
import type { Clock, Timer } from "../../core/clock.ts";
import { TransportError } from "../../core/errors.ts";
import type { RenewResult, SettleOrder, SettleResult } from "../../ports/transport.ts";
import type { BrokerConnection, ConnectionUser, OpenConnection } from "./broker-connection.ts";
import type { AmqpDelivery } from "./delivery.ts";
import { errorOf, isBusy, isLockLost, isUnauthorized, transportErrorOf } from "./errors.ts";
import { busyPauseMs, deadLetterTextMax, locksPerRequestMax, requestsWaitingMax, spreadPauseMs } from "./limits.ts";
import { RequestLink } from "./request-link.ts";
import type { Reply } from "./request-link.ts";

export interface ManagementOptions {
  readonly broker: BrokerConnection;
  readonly address: string;
  readonly clock: Clock;
  readonly answerTimeoutMs: number;
}

interface Waiting {
  readonly ready: (link: RequestLink) => void;
  readonly failed: (error: TransportError) => void;
}

type Renewed = (delivery: AmqpDelivery, result: RenewResult) => void;

export class Management implements ConnectionUser {
  readonly #options: ManagementOptions;
  readonly #address: string;
  #link: RequestLink | undefined;
  readonly #waiting = new Set<Waiting>();
  #reopen: Timer | undefined;
  /** Links that were refused or lost, since one was last there. */
  #failures = 0;
  /** While the namespace is throttled nothing is asked, monotonic. */
  #busyUntilMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;
  #started: PromiseWithResolvers<void> | undefined;

  constructor(options: ManagementOptions) {
    this.#options = options;
    this.#address = `${options.address}/$management`;
  }

  /** Resolves when the node answers who may listen; rejects with `TransportError` when the entity cannot be had. */
  async start(): Promise<void> {
    await this.open();
    await this.peek(0n, 1);
  }

  /** Resolves when the link is there; rejects with `TransportError` when it cannot be had. */
  async open(): Promise<void> {
    this.#started = Promise.withResolvers();
    this.#options.broker.join(this);
    this.#options.broker.want();
    await this.#started.promise;
    this.#started = undefined;
  }

  stop(): void {
    this.#isStopped = true;
    this.#options.broker.leave(this);
    this.#reopen?.cancel();
    this.#link?.close();
    this.#link = undefined;
    const error = new TransportError(`expected to ask ${this.#address}, found that the transport has stopped; ask between start and stop`);
    for (const { failed } of this.#waiting) failed(error);
  }

  /** One result a delivery, in order. Never rejects. */
  async renew(deliveries: readonly AmqpDelivery[]): Promise<ReadonlyMap<AmqpDelivery, RenewResult>> {
    const results = new Map<AmqpDelivery, RenewResult>();
    const renewed: Renewed = (delivery, result) => void results.set(delivery, result);
    const parts: Promise<void>[] = [];
    for (let from = 0; from < deliveries.length; from += locksPerRequestMax)
      parts.push(this.#renew(deliveries.slice(from, from + locksPerRequestMax), renewed));
    await Promise.all(parts);
    return results;
  }

  /** The broker refuses a request of which one lock is lost, without saying which: such a request is halved. */
  async #renew(deliveries: readonly AmqpDelivery[], renewed: Renewed): Promise<void> {
    const tokens = deliveries.map((delivery) => uuid(delivery.lockToken() ?? Buffer.alloc(16)));
    let reply: Reply;
    try {
      reply = await this.ask("renew-lock", { "lock-tokens": array("uuid", tokens) });
    } catch {
      return;
    }
    if (reply.code === 200) {
      const expirations = reply.body?.get("expirations");
      const nowMs = this.#options.clock.monotonicMs();
      if (Array.isArray(expirations)) deliveries.forEach((delivery, index) => noteRenewed(delivery, expirations[index] as Plain | undefined, nowMs, renewed));
    } else if (isLockLost(reply.condition) || reply.code === 410) {
      const [only] = deliveries;
      const middle = deliveries.length >> 1;
      if (middle > 0) await Promise.all([this.#renew(deliveries.slice(0, middle), renewed), this.#renew(deliveries.slice(middle), renewed)]);
      else if (only !== undefined) renewed(only, { kind: "lock-lost" });
    }
  }

  /**
   * Settles a delivery whose link is gone. Each has a request of its own: one that is refused says nothing of which of several
   * were settled before.
   */
  async settle(delivery: AmqpDelivery, order: SettleOrder): Promise<SettleResult> {
    const token = delivery.lockToken();
    if (token === undefined) return "unknown";
    try {
      const reply = await this.ask("update-disposition", { "lock-tokens": array("uuid", [uuid(token)]), ...dispositionOf(order) });
      if (reply.code >= 200 && reply.code <= 299) return "settled";
      return isLockLost(reply.condition) || reply.code === 410 ? "lock-lost" : "unknown";
    } catch {
      return "unknown";
    }
  }

  /** Up to `count` messages from a sequence number on, without their bodies. */
  async peek(from: bigint, count: number): Promise<readonly MessageView[]> {
    const reply = await this.ask("peek-message", { "from-sequence-number": long(from), "message-count": int(count), "omit-message-body": true });
    if (reply.code === 204) return [];
    if (reply.code !== 200) throw replyError(`to look into ${this.#options.address}`, reply);
    const messages = reply.body?.get("messages");
    if (!Array.isArray(messages)) return [];
    return messages.flatMap((entry: Plain) => {
      const bytes = entry instanceof Map ? (entry as ReadonlyMap<Plain, Plain>).get("message") : undefined;
      return Buffer.isBuffer(bytes) ? [new MessageView(bytes)] : [];
    });
  }

  /**
   * One request, such as `peek-message`, about a link where it is named. A reply that says no is a reply; rejects with
   * `TransportError` when there is none.
   */
  async ask(operation: string, fields: { readonly [key: string]: Encodable }, linkName?: string): Promise<Reply> {
    const { clock } = this.#options;
    const pauseMs = this.#busyUntilMs - clock.monotonicMs();
    if (pauseMs > 0)
      throw new TransportError(`expected to ask ${this.#address}, found that the namespace is throttled; it is asked again after a pause`, {
        retryAfterMs: Math.ceil(pauseMs),
      });
    const link = this.#link ?? (await this.#whenOpen());
    const properties: Fields = { operation: `com.microsoft:${operation}`, ...(linkName === undefined ? {} : { "associated-link-name": linkName }) };
    const reply = await link.request(properties, fields);
    if (isBusy(reply.condition)) this.#busyUntilMs = clock.monotonicMs() + busyPauseMs;
    return reply;
  }

  /** The link once it is there. */
  #whenOpen(): Promise<RequestLink> {
    const { clock, answerTimeoutMs } = this.#options;
    if (this.#isStopped || this.#waiting.size >= requestsWaitingMax) {
      return Promise.reject(
        new TransportError(
          `expected to ask ${this.#address}, found ${this.#isStopped ? "that the transport has stopped" : `${requestsWaitingMax} requests waiting`}; try again later`,
        ),
      );
    }
    return new Promise((resolve, reject) => {
      const end = (): void => {
        timer.cancel();
        this.#waiting.delete(waiting);
      };
      const waiting: Waiting = {
        ready: (link) => {
          end();
          resolve(link);
        },
        failed: (error) => {
          end();
          reject(error);
        },
      };
      const timer = clock.after(answerTimeoutMs, () =>
        waiting.failed(
          new TransportError(`expected to reach ${this.#address} within ${answerTimeoutMs} ms, found no connection; check that the broker is up and reachable`),
        ),
      );
      this.#waiting.add(waiting);
    });
  }

  // The connection's user.

  wantsConnection(): boolean {
    return true;
  }

  opened(connection: OpenConnection): void {
    void this.#open(connection);
  }

  closed(error: TransportError): void {
    this.#link = undefined;
    this.#reopen?.cancel();
    this.#started?.reject(error);
  }

  async #open(connection: OpenConnection): Promise<void> {
    const { broker } = this.#options;
    try {
      await connection.authorize(this.#address);
    } catch (thrown) {
      this.#failed(connection, transportErrorOf(`access to ${this.#address}`, thrown));
      return;
    }
    if (this.#isStopped || broker.open !== connection) return;
    try {
      this.#attach(connection);
    } catch (thrown) {
      this.#failed(connection, transportErrorOf(`to reach ${this.#address}`, thrown));
    }
  }

  /** Throws where the peer has no room for it. */
  #attach(connection: OpenConnection): void {
    const { broker, clock, answerTimeoutMs } = this.#options;
    const link: RequestLink = new RequestLink({
      connection: connection.engine,
      address: this.#address,
      clock,
      answerTimeoutMs,
      opened: () => {
        broker.proved();
        this.#failures = 0;
        this.#link = link;
        this.#started?.resolve();
        for (const { ready } of this.#waiting) ready(link);
      },
      lost: (error: TransportError, condition: ErrorCondition | undefined) => {
        if (this.#link === link) this.#link = undefined;
        if (isUnauthorized(condition)) connection.refused(this.#address);
        this.#failed(connection, error);
      },
    });
  }

  /** The link could not be had, or was lost: it is opened again after a pause. */
  #failed(connection: OpenConnection, error: TransportError): void {
    const { broker, clock } = this.#options;
    if (this.#isStopped || broker.open !== connection) return;
    this.#started?.reject(error);
    // There is nothing to wait for; a right may be had at the next try.
    if (error.entityTrouble === "missing" || error.entityTrouble === "disabled") for (const { failed } of this.#waiting) failed(error);
    this.#reopen?.cancel();
    const pauseMs = error.retryAfterMs ?? spreadPauseMs(this.#failures);
    this.#failures += 1;
    this.#reopen = clock.after(pauseMs, () => {
      if (broker.open === connection) this.opened(connection);
    });
  }
}

function noteRenewed(delivery: AmqpDelivery, until: Plain | undefined, nowMs: number, renewed: Renewed): void {
  if (!(until instanceof Date)) return;
  const lockedUntilMs = until.getTime();
  delivery.renewed(lockedUntilMs, nowMs);
  renewed(delivery, { kind: "renewed", lockedUntilMs });
}

/** The protocol spells it so. */
const deferredStatus = "defered";

function dispositionOf(order: SettleOrder): { readonly [key: string]: Encodable } {
  switch (order.verb) {
    case "complete":
      return { "disposition-status": "completed" };
    // Management knows no release; leaving the lock to end would count as a delivery too, and take longer.
    case "release":
    case "abandon":
      return { "disposition-status": "abandoned" };
    case "defer":
      return { "disposition-status": deferredStatus };
    case "dead-letter":
      return {
        "disposition-status": "suspended",
        ...(order.properties === undefined ? {} : { "properties-to-modify": order.properties }),
        "deadletter-reason": order.reason.slice(0, deadLetterTextMax),
        "deadletter-description": order.description.slice(0, deadLetterTextMax),
      };
  }
}

export function replyError(expected: string, reply: Reply): TransportError {
  return errorOf(expected, { condition: reply.condition ?? `status ${reply.code}`, description: reply.description }, "a refusal");
}
