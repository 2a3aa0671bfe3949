import type { ServiceBusReceiver, ServiceBusSessionReceiver } from "@azure/service-bus";
import type { SettleOrder, SettleResult } from "../../ports/transport.ts";
import type { Answers, ServiceBusDelivery } from "./delivery.ts";
import { deadLetterTextMax } from "./limits.ts";

/** The orders of one call of `settle`, answered together. */
export class SettleGroup implements Answers {
  readonly results: SettleResult[];
  readonly whenAll: Promise<readonly SettleResult[]>;
  #left: number;
  #resolve: (results: readonly SettleResult[]) => void;

  constructor(count: number) {
    const { promise, resolve } = Promise.withResolvers<readonly SettleResult[]>();
    this.results = Array.from({ length: count });
    this.whenAll = promise;
    this.#left = count;
    this.#resolve = resolve;
    if (count === 0) resolve(this.results);
  }

  finish(index: number, result: SettleResult): void {
    this.results[index] = result;
    this.#left -= 1;
    if (this.#left === 0) this.#resolve(this.results);
  }
}

/** One order on its way to the broker. */
export class Settling {
  readonly order: SettleOrder;
  readonly delivery: ServiceBusDelivery;
  readonly #answers: Answers;
  readonly #index: number;
  /** Raised when the order is given to the broker once more: answers to the earlier way do not count. */
  way = 0;
  /** When the lane began to hold it. */
  heldFromMs: number | undefined;

  constructor(order: SettleOrder, delivery: ServiceBusDelivery, answers: Answers, index: number) {
    this.order = order;
    this.delivery = delivery;
    this.#answers = answers;
    this.#index = index;
  }

  finish(result: SettleResult): void {
    this.#answers.finish(this.#index, result);
  }
}

/**
 * Gives one order to the SDK. Any receiver of the entity will do: the SDK finds the link by the message, and goes over the
 * management link when there is none. On an open link the disposition is queued before this returns.
 */
export function giveOrder(receiver: ServiceBusReceiver | ServiceBusSessionReceiver, order: SettleOrder, delivery: ServiceBusDelivery): Promise<void> {
  try {
    return give(receiver, order, delivery);
  } catch (thrown) {
    // What cannot be told to the SDK keeps no other order of the group.
    return Promise.reject(thrown instanceof Error ? thrown : new Error(String(thrown)));
  }
}

function give(receiver: ServiceBusReceiver | ServiceBusSessionReceiver, order: SettleOrder, { message }: ServiceBusDelivery): Promise<void> {
  switch (order.verb) {
    case "complete":
      return receiver.completeMessage(message);
    // The SDK has no release.
    case "release":
    case "abandon":
      return receiver.abandonMessage(message);
    case "defer":
      return receiver.deferMessage(message);
    case "dead-letter":
      return receiver.deadLetterMessage(message, {
        ...order.properties,
        deadLetterReason: order.reason.slice(0, deadLetterTextMax),
        deadLetterErrorDescription: order.description.slice(0, deadLetterTextMax),
      });
  }
}
