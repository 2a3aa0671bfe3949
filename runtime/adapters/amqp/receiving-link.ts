/**
 * One attachment to the entity as a receiver, in a session of its own.
 *
 *   attaching ──▶ open ──retire()──▶ draining ──drained──▶ settling ──(nothing unsettled)──▶ ended
 *       └───────────┴── detached, session or connection lost ──────────────────────────────────▲
 *
 * While it drains, whatever still comes is released: the broker keeps it as it was. While it is only settling, it stays so
 * that deliveries that were handed out can be settled directly.
 */
import { accepted, modified, rejected, released } from "../../amqp/message/delivery-state.ts";
import type { DeliveryState } from "../../amqp/message/delivery-state.ts";
import type { Connection } from "../../amqp/connection/connection.ts";
import type { LinkEnd } from "../../amqp/link/link.ts";
import type { Delivery as EngineDelivery, Receiver as EngineReceiver } from "../../amqp/link/receiver.ts";
import type { Session } from "../../amqp/session/session.ts";
import type { Clock } from "../../core/clock.ts";
import { lockMaxMs } from "../../core/delivery.ts";
import type { SettleOrder } from "../../ports/transport.ts";
import { AmqpDelivery } from "./delivery.ts";
import type { DeliveryHome } from "./delivery.ts";
import { isLockLost } from "./errors.ts";
import { deadLetterTextMax, forgottenAfterMs, linkCreditMax, messageBytesMax, stopTimeoutMs } from "./limits.ts";
import type { Management } from "./management.ts";
import { settledWithin } from "../support/waiting.ts";

export interface ReceivingLinkOptions {
  readonly connection: Connection;
  readonly address: string;
  /** Unique among the links of the process. */
  readonly name: string;
  readonly clock: Clock;
  readonly management: Management;
  attached(): void;
  /** How many bytes may be on their way, as of a listener. */
  bytesRoom(arrivingBytes: number): number;
  /** Called with what one read of the socket brought. */
  arrived(batch: readonly AmqpDelivery[]): void;
  /** Called once. */
  ended(link: ReceivingLink, end: LinkEnd): void;
}

const abandoned = modified({ undeliverableHere: false });
const deferred = modified({ undeliverableHere: true });

export class ReceivingLink implements DeliveryHome {
  readonly #options: ReceivingLinkOptions;
  readonly #session: Session;
  readonly #receiver: EngineReceiver;
  #batch: AmqpDelivery[] = [];
  #isRetired = false;
  #isEnded = false;
  #releasing = 0;
  readonly #quiet = Promise.withResolvers<void>();

  constructor(options: ReceivingLinkOptions) {
    this.#options = options;
    // What comes of a link that is retired is given back at once; the flow that drains it says so.
    const incomingBytes = (arrivingBytes: number): number => (this.#isRetired ? Number.POSITIVE_INFINITY : options.bytesRoom(arrivingBytes));
    this.#session = options.connection.begin({}, { incomingBytes });
    this.#receiver = this.#session.openReceiver(
      {
        name: options.name,
        source: { address: options.address },
        target: { address: options.name },
        senderSettleMode: "unsettled",
        receiverSettleMode: "second",
        maxMessageSize: messageBytesMax,
      },
      {
        onAttach: () => options.attached(),
        onDelivery: (delivery) => this.#onDelivery(delivery),
        onDeliveriesEnd: () => this.#handOver(),
        onSettled: (delivery, state) => this.#onSettled(delivery, state),
        onDrained: () => this.#checkQuiet(),
        onDetach: (_receiver, end, unsettled) => this.#onDetach(end, unsettled),
      },
    );
  }

  /** Takes as much of `count` as the link may have; returns how much. */
  addCredit(count: number): number {
    const taken = Math.min(count, linkCreditMax - this.#receiver.credit);
    if (taken > 0) this.#receiver.addCredit(taken);
    return Math.max(0, taken);
  }

  widen(): void {
    this.#session.widen();
  }

  /** Deliveries that were handed out and are not settled. */
  forEachUnsettled(visit: (delivery: AmqpDelivery) => void): void {
    this.#session.incoming.forEach((delivery) => visit((delivery as EngineDelivery).context as AmqpDelivery));
  }

  /** Takes no more; resolves when nothing more comes and what came late was given back. */
  async retire(): Promise<void> {
    if (!this.#isRetired && !this.#isEnded) {
      this.#isRetired = true;
      // Its credit was not told to the broker yet, so nothing can come.
      if (!this.#receiver.isAttached) this.#session.end();
      else this.#receiver.drain();
    }
    if (!this.#isEnded) await settledWithin(this.#options.clock, stopTimeoutMs, this.#quiet.promise);
    // A drain that was not answered leaves it with credit: it would be given messages for as long as it is there.
    if (!this.#isEnded && this.#receiver.draining) this.#session.end();
    this.#endIfDone();
  }

  /** Gives the broker one order; the result reaches the delivery's group. */
  settle(delivery: AmqpDelivery, order: SettleOrder): void {
    if (delivery.engine.settle(stateOf(order))) return;
    if (delivery.isLost || delivery.engine.settled) delivery.group?.finish(delivery.index, "lock-lost");
    else this.#settleOverManagement(delivery, order, false);
  }

  /**
   * Lets go of what nobody will settle: its lock has ended long ago. What was settled and never answered is held for as long as
   * the link lives, so a link that has such deliveries is ended.
   */
  sweep(): void {
    const beforeMs = this.#options.clock.monotonicMs() - lockMaxMs - forgottenAfterMs;
    let isStuck = false;
    this.forEachUnsettled((delivery) => {
      if (delivery.lockedAtMs >= beforeMs) return;
      if (delivery.group === undefined && !delivery.isLost) {
        delivery.isLost = true;
        delivery.engine.settle(released);
      } else if (delivery.group === undefined || delivery.group.isDone) isStuck = true;
    });
    if (isStuck) this.#session.end();
    else if (this.#isRetired) this.#endIfDone();
  }

  #onDelivery(engine: EngineDelivery): void {
    const delivery = new AmqpDelivery(engine, this);
    engine.context = delivery;
    if (this.#isRetired) {
      delivery.isLost = true;
      this.#releasing += 1;
      engine.settle(released);
    } else this.#batch.push(delivery);
  }

  #handOver(): void {
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#batch = [];
    const nowMs = this.#options.clock.monotonicMs();
    for (let index = 0; index < batch.length; index += 1) batch[index]!.lockedAtMs = nowMs;
    this.#options.arrived(batch);
  }

  #onSettled(engine: EngineDelivery, state: DeliveryState | undefined): void {
    const delivery = engine.context as AmqpDelivery;
    const { group } = delivery;
    if (group === undefined) {
      // The broker ended it by itself, or this answers a release of ours.
      if (engine.state !== undefined && this.#releasing > 0) this.#releasing -= 1;
      delivery.isLost = true;
    } else if (state === undefined || state.kind !== "rejected") group.finish(delivery.index, "settled");
    else group.finish(delivery.index, resultOfRejection(delivery, state));
    if (this.#isRetired) {
      this.#checkQuiet();
      this.#endIfDone();
    }
  }

  #checkQuiet(): void {
    if (this.#isRetired && !this.#receiver.draining && this.#receiver.credit === 0 && this.#releasing === 0) this.#quiet.resolve();
  }

  #endIfDone(): void {
    if (this.#isRetired && !this.#isEnded && this.#session.incoming.size === 0 && !this.#receiver.draining) this.#session.end();
  }

  #onDetach(end: LinkEnd, unsettled: readonly EngineDelivery[]): void {
    this.#isEnded = true;
    // What came in the same read as the end is settled over management, as anything else that was handed out.
    this.#handOver();
    for (const engine of unsettled) {
      const { group, order } = engine.context as AmqpDelivery;
      if (group !== undefined && order !== undefined && !group.isDone) this.#settleOverManagement(engine.context as AmqpDelivery, order, true);
    }
    this.#quiet.resolve();
    this.#options.ended(this, end);
    // Without its one link the session is of no use.
    if (end.by === "peer") this.#session.end();
  }

  /** `isAgain`: the order may have reached the broker over the link, which then knows the lock no more. */
  #settleOverManagement(delivery: AmqpDelivery, order: SettleOrder, isAgain: boolean): void {
    void this.#options.management.settle(delivery, order).then((result) => {
      delivery.group?.finish(delivery.index, isAgain && result === "lock-lost" ? "unknown" : result);
    });
  }
}

export function stateOf(order: SettleOrder): DeliveryState {
  switch (order.verb) {
    case "complete":
      return accepted;
    case "abandon":
      return abandoned;
    case "release":
      return released;
    case "defer":
      return deferred;
    case "dead-letter": {
      const info = {
        ...order.properties,
        DeadLetterReason: order.reason.slice(0, deadLetterTextMax),
        DeadLetterErrorDescription: order.description.slice(0, deadLetterTextMax),
      };
      return rejected({ condition: deadLetterCondition, info });
    }
  }
}

const deadLetterCondition = "com.microsoft:dead-letter";

/** The broker answers with a rejection when it refuses, and may echo the one that dead-letters. */
export function resultOfRejection(delivery: AmqpDelivery, state: DeliveryState): "settled" | "lock-lost" | "unknown" {
  const condition = state.error?.condition;
  if (condition === undefined || (condition === deadLetterCondition && delivery.order?.verb === "dead-letter")) return "settled";
  return isLockLost(condition) ? "lock-lost" : "unknown";
}
