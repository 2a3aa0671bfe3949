/**
 * A session that the SDK holds. Its messages are asked for one by one: the SDK's subscription has a credit of one, and gets
 * the next when its handler has ended, which is when the next message is asked for. What the SDK is asked for has a deadline
 * of our own.
 */
import type { ServiceBusReceivedMessage, ServiceBusSessionReceiver } from "@azure/service-bus";
import type { Clock } from "../../core/clock.ts";
import type { TransportError } from "../../core/errors.ts";
import type { HeldSession, RenewResult, SessionListener, SettleOrder, SettleResult } from "../../ports/transport.ts";
import { settledWithin } from "../support/waiting.ts";
import { type Answers, type DeliveryHome, ServiceBusDelivery } from "./delivery.ts";
import { hasCode, isLockLost, settleResultOf, transportErrorOf } from "./errors.ts";
import { closeTimeoutMs } from "./limits.ts";
import { giveOrder } from "./settling.ts";

export interface SdkSessionOptions {
  readonly receiver: ServiceBusSessionReceiver;
  readonly clock: Clock;
  readonly answerTimeoutMs: number;
  /** Called once. */
  readonly closed: (session: SdkSession) => void;
}

/** Locked as long as its session is. */
export class SessionDelivery extends ServiceBusDelivery {
  readonly session: SdkSession;

  constructor(message: ServiceBusReceivedMessage, session: SdkSession, ordinal: number, lockedAtMs: number) {
    super(message, session, ordinal, lockedAtMs);
    this.session = session;
  }

  override get lockedUntilMs(): number {
    return this.session.lockedUntilMs;
  }
}

export class SdkSession implements HeldSession, DeliveryHome {
  readonly id: string;
  readonly #options: SdkSessionOptions;
  readonly #unsettled = new Set<SessionDelivery>();
  #listener: SessionListener | undefined;
  #isSubscribed = false;
  /** Ends the SDK's handler, which gives the next credit. */
  #handled: () => void = () => {};
  #count = 0;
  #isLost = false;
  #released: Promise<void> | undefined;

  constructor(options: SdkSessionOptions) {
    this.#options = options;
    this.id = options.receiver.sessionId;
  }

  get lockedUntilMs(): number {
    return this.#options.receiver.sessionLockedUntilUtc.getTime();
  }

  get unsettled(): Iterable<SessionDelivery> {
    return this.#unsettled;
  }

  listen(listener: SessionListener): void {
    this.#listener = listener;
  }

  receive(): void {
    if (this.#isLost || this.#released !== undefined) return;
    if (this.#isSubscribed) return this.#handled();
    this.#isSubscribed = true;
    const { receiver, clock } = this.#options;
    const processMessage = (message: ServiceBusReceivedMessage): Promise<void> => this.#arrived(message);
    const processError = async ({ error, errorSource }: { readonly error: unknown; readonly errorSource: string }): Promise<void> => {
      if (errorSource === "receive" || receiver.isClosed) this.#lose(error);
    };
    try {
      receiver.subscribe({ processMessage, processError }, { autoCompleteMessages: false, maxConcurrentCalls: 1 });
    } catch (error) {
      // It was lost before anything was asked for.
      clock.soon(() => this.#lose(error));
    }
  }

  settle(order: SettleOrder, delivery: ServiceBusDelivery, answers: Answers, index: number): void {
    // It goes back with its session.
    if (order.verb === "release") return answers.finish(index, "settled");
    this.#unsettled.delete(delivery as SessionDelivery);
    const answer = giveOrder(this.#options.receiver, order, delivery).then((): SettleResult => "settled", settleResultOf);
    void this.#within<SettleResult>(answer, "unknown").then((result) => answers.finish(index, result));
  }

  renew(): Promise<RenewResult> {
    const renewed = this.#options.receiver.renewSessionLock().then(
      (until): RenewResult => ({ kind: "renewed", lockedUntilMs: until.getTime() }),
      (thrown: unknown): RenewResult => ({ kind: isLockLost(thrown) ? "lock-lost" : "unknown" }),
    );
    return this.#within<RenewResult>(renewed, { kind: "unknown" });
  }

  async getState(): Promise<Uint8Array | undefined> {
    try {
      const state: unknown = await this.#options.receiver.getSessionState();
      if (state === undefined || state === null || state instanceof Uint8Array) return state ?? undefined;
      // The SDK has parsed what was JSON.
      return Buffer.from(JSON.stringify(state), "utf8");
    } catch (thrown) {
      throw transportErrorOf(`the state of session '${this.id}'`, thrown);
    }
  }

  async setState(state: Uint8Array | undefined): Promise<SettleResult> {
    const { receiver } = this.#options;
    // The SDK cannot take a state away: it leaves JSON's null, which is read as none.
    const bytes = state === undefined ? null : Buffer.from(state);
    const answer = receiver.setSessionState(bytes).then(
      (): SettleResult | TransportError => "settled",
      (thrown: unknown) => {
        const isOfRefusal = thrown instanceof Error && "code" in thrown && (thrown.code === "InvalidOperationError" || thrown.code === "GeneralError");
        // A broker that failed takes it another time.
        const isRefused = isOfRefusal && !hasCode(thrown, "InternalServerError", "ServerBusyError", "ServiceUnavailableError");
        return isRefused && !isLockLost(thrown) ? transportErrorOf(`the state of session '${this.id}' to be taken`, thrown) : settleResultOf(thrown);
      },
    );
    const result = await this.#within<SettleResult | TransportError>(answer, "unknown");
    if (typeof result !== "string") throw result;
    return result;
  }

  release(): Promise<void> {
    this.#released ??= this.#close();
    return this.#released;
  }

  async #close(): Promise<void> {
    const { receiver, clock, closed } = this.#options;
    await settledWithin(clock, closeTimeoutMs, receiver.close());
    this.#handled();
    closed(this);
  }

  #arrived(message: ServiceBusReceivedMessage): Promise<void> {
    if (this.#released !== undefined || this.#isLost) return new Promise(() => {});
    const delivery = new SessionDelivery(message, this, this.#count, this.#options.clock.monotonicMs());
    this.#count += 1;
    this.#unsettled.add(delivery);
    const handled = new Promise<void>((resolve) => {
      this.#handled = resolve;
    });
    this.#listener?.delivery(delivery);
    return handled;
  }

  #lose(thrown: unknown): void {
    if (this.#isLost || this.#released !== undefined) return;
    this.#isLost = true;
    this.#listener?.lost(transportErrorOf(`to hold session '${this.id}'`, thrown));
    void this.release();
  }

  #within<T>(answer: Promise<T>, otherwise: T): Promise<T> {
    const { clock, answerTimeoutMs } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.after(answerTimeoutMs, () => resolve(otherwise));
      void answer.then((value) => {
        timer.cancel();
        resolve(value);
      });
    });
  }
}
