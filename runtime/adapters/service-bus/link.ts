/**
 * One AMQP link and the deliveries that came over it, from attach to close.
 *
 *   open ──retire()──► draining ──(nothing unsettled)──► closed
 *     └────────────────lose()───────────────────────────► closed
 *
 * A retired link gets no more credit and stays only so that its deliveries can be settled directly. It closes once they are,
 * or once the locks of those that remain have ended: what was dropped on purpose is never settled. A lost link closes at
 * once, and its deliveries are settled over management.
 */
import type { ServiceBusReceivedMessage, ServiceBusReceiver } from "@azure/service-bus";
import type { Clock, Timer } from "../../core/clock.ts";
import { lockMaxMs } from "../../core/delivery.ts";
import { type AmqpLink, type Answers, amqpLinkOf, type DeliveryHome, ServiceBusDelivery } from "./delivery.ts";
import { closeTimeoutMs, holdFreelyMin, lockGraceMs, spreadMax } from "./limits.ts";
import type { ManagementLane } from "./management-lane.ts";
import type { SettleOrder } from "../../ports/transport.ts";
import { SettlementLane } from "./settlement-lane.ts";
import { Settling } from "./settling.ts";
import { settledWithin } from "../support/waiting.ts";

/** A power of two beyond the 2 047 deliveries that the client's session can hold. */
const ringSize = 4_096;

export interface LinkOptions {
  /** A receiver of the SDK for this link alone. */
  readonly receiver: ServiceBusReceiver;
  /** Any receiver of the same entity that stays open; settles. */
  readonly settler: ServiceBusReceiver;
  readonly management: ManagementLane;
  readonly clock: Clock;
  /** Deliveries after which the link is to be replaced. */
  readonly deliveriesMax: number;
  /** Whether the receiver has no credit left. */
  isStarved(): boolean;
  /** Called once. */
  closed(link: Link): void;
}

export class Link implements DeliveryHome {
  readonly receiver: ServiceBusReceiver;
  readonly #lane: SettlementLane;
  readonly #options: LinkOptions;
  /** Unsettled deliveries by ordinal. */
  readonly #ring: (ServiceBusDelivery | undefined)[] = Array.from({ length: ringSize });
  /** The oldest unsettled ordinal, or the next one when all are settled. */
  #oldest = 0;
  #next = 0;
  #unsettledCount = 0;
  #amqpLink: AmqpLink | undefined;
  #reattached = false;
  #state: "open" | "draining" | "closed" = "open";
  #expiry: Timer | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.receiver = options.receiver;
    this.#lane = new SettlementLane({
      receiver: options.settler,
      management: options.management,
      clock: options.clock,
      settled: (ordinal) => this.#settled(ordinal),
      isStarvedBy: (held) => this.#unsettledCount < holdFreelyMin && held * 2 >= this.#unsettledCount && options.isStarved(),
    });
  }

  /** Whether a fresh link has to take over: a held delivery is about to stall this one, or it has counted far enough. */
  get isWornOut(): boolean {
    return this.#next - this.#oldest >= spreadMax || this.#next >= this.#options.deliveriesMax;
  }

  /**
   * The SDK has attached again under the old name: it would give settlements of older deliveries to the wrong session, so this
   * link must be treated as lost.
   */
  get isReattached(): boolean {
    return this.#reattached;
  }

  arrived(message: ServiceBusReceivedMessage): ServiceBusDelivery {
    const amqpLink = amqpLinkOf(message);
    this.#amqpLink ??= amqpLink;
    if (amqpLink !== this.#amqpLink) this.#reattached = true;
    const delivery = new ServiceBusDelivery(message, this, this.#next, this.#options.clock.monotonicMs());
    this.#ring[this.#next & (ringSize - 1)] = delivery;
    this.#next += 1;
    this.#unsettledCount += 1;
    return delivery;
  }

  /** Gives the link more credit than the SDK would. False when that cannot be done, or not before a message has come. */
  addCredit(count: number): boolean {
    if (this.#amqpLink?.add_credit === undefined) return false;
    this.#amqpLink.add_credit(count);
    return true;
  }

  unsettled(): ServiceBusDelivery[] {
    const found: ServiceBusDelivery[] = [];
    for (let ordinal = this.#oldest; ordinal < this.#next; ordinal += 1) {
      const delivery = this.#ring[ordinal & (ringSize - 1)];
      if (delivery !== undefined) found.push(delivery);
    }
    return found;
  }

  settle(order: SettleOrder, delivery: ServiceBusDelivery, answers: Answers, index: number): void {
    this.#lane.add(new Settling(order, delivery, answers, index));
  }

  /** No more credit will be given; closes when its deliveries have ended. */
  retire(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.#closeIfDone();
  }

  /** The link is gone. Idempotent. */
  lose(): void {
    this.#close();
    this.#lane.sever();
  }

  #settled(ordinal: number): void {
    this.#unsettledCount -= 1;
    this.#ring[ordinal & (ringSize - 1)] = undefined;
    while (this.#oldest < this.#next && this.#ring[this.#oldest & (ringSize - 1)] === undefined) this.#oldest += 1;
    if (this.#state === "draining") this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#unsettledCount === 0) {
      this.#close();
      return;
    }
    if (this.#expiry !== undefined) return;
    const { clock } = this.#options;
    const lastMs = Math.max(...this.unsettled().map((delivery) => delivery.lockedAtMs)) + lockMaxMs + lockGraceMs;
    this.#expiry = clock.after(lastMs - clock.monotonicMs(), () => {
      this.#expiry = undefined;
      if (this.#state !== "draining") return;
      const beforeMs = clock.monotonicMs() - lockMaxMs - lockGraceMs;
      // A lock that was renewed since keeps the link for another round.
      if (this.unsettled().every((delivery) => delivery.lockedAtMs <= beforeMs)) this.lose();
      else this.#closeIfDone();
    });
  }

  #close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#expiry?.cancel();
    void settledWithin(this.#options.clock, closeTimeoutMs, this.receiver.close()).then(() => this.#options.closed(this));
  }
}
