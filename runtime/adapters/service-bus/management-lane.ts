import type { ServiceBusReceiver } from "@azure/service-bus";
import type { Clock } from "../../core/clock.ts";
import type { RenewResult, SettleResult } from "../../ports/transport.ts";
import type { ServiceBusDelivery } from "./delivery.ts";
import { isLockLost, settleResultOf } from "./errors.ts";
import { managementInFlightMax } from "./limits.ts";
import { giveOrder, type Settling } from "./settling.ts";

/**
 * Requests over the entity's management link: a bounded number on their way at once, the rest in order behind them (no more
 * than there are deliveries out). Each has a deadline of our own, because the SDK lets a request wait for a minute, and
 * for as long when the connection is gone.
 */
export class ManagementLane {
  #receiver: ServiceBusReceiver;
  readonly #clock: Clock;
  readonly #answerTimeoutMs: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  #inFlight = 0;

  constructor(receiver: ServiceBusReceiver, clock: Clock, answerTimeoutMs: number) {
    this.#receiver = receiver;
    this.#clock = clock;
    this.#answerTimeoutMs = answerTimeoutMs;
  }

  /** Goes over another receiver of the same entity from now on. */
  use(receiver: ServiceBusReceiver): void {
    this.#receiver = receiver;
  }

  /** Settles a delivery whose link is gone. */
  settle(settling: Settling, settled: (result: SettleResult) => void): void {
    this.#add(async () => {
      settled(
        await this.#within<SettleResult>(
          giveOrder(this.#receiver, settling.order, settling.delivery).then(() => "settled", settleResultOf),
          "unknown",
        ),
      );
    });
  }

  renew(delivery: ServiceBusDelivery): Promise<RenewResult> {
    const { promise, resolve } = Promise.withResolvers<RenewResult>();
    this.#add(async () => {
      const renewed = this.#receiver.renewMessageLock(delivery.message).then(
        (until): RenewResult => {
          delivery.lockedAtMs = this.#clock.monotonicMs();
          return { kind: "renewed", lockedUntilMs: until.getTime() };
        },
        (thrown: unknown): RenewResult => ({ kind: isLockLost(thrown) ? "lock-lost" : "unknown" }),
      );
      resolve(await this.#within(renewed, { kind: "unknown" }));
    });
    return promise;
  }

  #add(request: () => Promise<void>): void {
    if (this.#inFlight >= managementInFlightMax) this.#waiting.push(request);
    else void this.#run(request);
  }

  async #run(first: () => Promise<void>): Promise<void> {
    this.#inFlight += 1;
    for (let request: (() => Promise<void>) | undefined = first; request !== undefined; request = this.#waiting.shift()) await request();
    this.#inFlight -= 1;
  }

  #within<T>(answer: Promise<T>, otherwise: T): Promise<T> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(this.#answerTimeoutMs, () => resolve(otherwise));
      void answer.then((value) => {
        timer.cancel();
        resolve(value);
      });
    });
  }
}
