/**
 * Receives over a succession of links, one at a time: several at once, on one connection or on more, brought nothing in any
 * measurement, since one link carries as much as a process can take. Credit that was granted is either waiting here, asked for on the
 * present link, or spent on a delivery that was handed out; when a link is lost, what it was asked for waits again. So never
 * more is handed out than was granted.
 */
import type { LinkEnd } from "../../amqp/link/link.ts";
import type { Clock, Timer } from "../../core/clock.ts";
import type { TransportError } from "../../core/errors.ts";
import { pauseMaxMsAfter } from "../../core/reopen-pause.ts";
import type { Receiver, ReceiverListener } from "../../ports/transport.ts";
import type { BrokerConnection, ConnectionUser, OpenConnection } from "./broker-connection.ts";
import type { AmqpDelivery } from "./delivery.ts";
import { errorOf, isUnauthorized, transportErrorOf } from "./errors.ts";
import { spreadPauseMs } from "./limits.ts";
import type { Management } from "./management.ts";
import { ReceivingLink } from "./receiving-link.ts";

export interface EntityReceiverOptions {
  readonly listener: ReceiverListener;
  readonly broker: BrokerConnection;
  readonly management: Management;
  readonly address: string;
  readonly clock: Clock;
  newName(): string;
  linkOpened(link: ReceivingLink): void;
  linkEnded(link: ReceivingLink): void;
  /** Called once. */
  stopped(receiver: EntityReceiver): void;
}

export class EntityReceiver implements Receiver, ConnectionUser {
  readonly #options: EntityReceiverOptions;
  #link: ReceivingLink | undefined;
  /** Credit that no link was asked for. */
  #waiting = 0;
  /** Credit that the present link was asked for and has not brought. */
  #asked = 0;
  #failures = 0;
  #reopen: Timer | undefined;
  #isStopping = false;
  #stopped: Promise<void> | undefined;

  constructor(options: EntityReceiverOptions) {
    this.#options = options;
    options.broker.join(this);
  }

  addCredit(count: number): void {
    if (this.#isStopping) return;
    this.#waiting += count;
    this.#ask();
  }

  widen(): void {
    this.#link?.widen();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    this.#reopen?.cancel();
    this.#options.broker.leave(this);
    await this.#link?.retire();
    this.#options.stopped(this);
  }

  #ask(): void {
    if (this.#link === undefined || this.#waiting === 0) return;
    const asked = this.#link.addCredit(this.#waiting);
    this.#waiting -= asked;
    this.#asked += asked;
  }

  // The connection's user.

  wantsConnection(): boolean {
    return true;
  }

  opened(connection: OpenConnection): void {
    void this.#open(connection);
  }

  closed(error: TransportError): void {
    this.#reopen?.cancel();
    if (!this.#isStopping) this.#options.listener.disturbed(error);
  }

  async #open(connection: OpenConnection): Promise<void> {
    const { broker, address } = this.#options;
    try {
      await connection.authorize(address);
    } catch (thrown) {
      this.#failed(connection, transportErrorOf(`access to ${address}`, thrown));
      return;
    }
    if (this.#isStopping || broker.open !== connection) return;
    try {
      this.#attach(connection);
    } catch (thrown) {
      this.#failed(connection, transportErrorOf(`to receive from ${address}`, thrown));
    }
  }

  /** Throws where the peer has no room for it. */
  #attach(connection: OpenConnection): void {
    const { broker, address, clock, management, listener } = this.#options;
    const link = new ReceivingLink({
      connection: connection.engine,
      address,
      name: this.#options.newName(),
      clock,
      management,
      attached: () => {
        this.#failures = 0;
        broker.proved();
        if (!this.#isStopping) this.#options.listener.opened?.();
      },
      bytesRoom: (arrivingBytes) => listener.bytesRoom?.(arrivingBytes) ?? Number.POSITIVE_INFINITY,
      arrived: (batch) => this.#arrived(batch),
      ended: (which, end) => this.#ended(connection, which, end),
    });
    this.#link = link;
    this.#options.linkOpened(link);
    this.#ask();
  }

  #arrived(batch: readonly AmqpDelivery[]): void {
    this.#asked -= batch.length;
    this.#options.listener.deliveries(batch);
    this.#ask();
  }

  #ended(connection: OpenConnection, link: ReceivingLink, end: LinkEnd): void {
    this.#options.linkEnded(link);
    if (this.#link !== link) return;
    this.#link = undefined;
    this.#waiting += this.#asked;
    this.#asked = 0;
    // The connection tells its own end.
    if (end.by === "connection") return;
    if (isUnauthorized(end.error)) connection.refused(this.#options.address);
    this.#failed(connection, errorOf(`to receive from ${this.#options.address}`, end.error, "that the link was detached"));
  }

  /** The link could not be had, or was lost: another is opened after a pause. */
  #failed(connection: OpenConnection, error: TransportError): void {
    const { broker, clock, listener } = this.#options;
    if (this.#isStopping || broker.open !== connection) return;
    const pauseMs = error.retryAfterMs ?? spreadPauseMs(this.#failures, pauseMaxMsAfter(error));
    this.#failures += 1;
    this.#reopen = clock.after(pauseMs, () => {
      if (broker.open === connection) this.opened(connection);
    });
    listener.disturbed(error);
  }
}
