/**
 * A session and the link that holds it, in an AMQP session of its own: the broker answers the attach once it has locked one.
 *
 *   attaching ──▶ held ──release()──▶ closing ──▶ ended
 *       └───────────┴── detached, session or connection lost ──▲
 *
 * What is not settled when the link ends is the broker's again: nothing of a session is settled over management, for without
 * the link there is no lock that it would be settled under.
 */
import type { ErrorCondition } from "../../amqp/message/condition.ts";
import type { Connection } from "../../amqp/connection/connection.ts";
import type { LinkEnd } from "../../amqp/link/link.ts";
import type { DeliveryState } from "../../amqp/message/delivery-state.ts";
import type { Delivery as EngineDelivery, Receiver as EngineReceiver } from "../../amqp/link/receiver.ts";
import type { Attach } from "../../amqp/frame/performatives.ts";
import type { Session } from "../../amqp/session/session.ts";
import { Described, type Plain } from "../../amqp/codec/types.ts";
import type { Clock } from "../../core/clock.ts";
import type { TransportError } from "../../core/errors.ts";
import type { HeldSession, RenewResult, SessionListener, SettleOrder, SettleResult } from "../../ports/transport.ts";
import { AmqpDelivery } from "./delivery.ts";
import type { DeliveryHome } from "./delivery.ts";
import { errorOf, isBusy, isLockLost } from "./errors.ts";
import { messageBytesMax, releaseTimeoutMs } from "./limits.ts";
import type { Management } from "./management.ts";
import { replyError } from "./management.ts";
import { resultOfRejection, stateOf } from "./receiving-link.ts";
import { settledWithin } from "../support/waiting.ts";

const sessionFilter = "com.microsoft:session-filter";
/** .NET counts in ticks of 100 ns from the year 1. */
const ticksAtEpoch = 621_355_968_000_000_000n;
const ticksPerMs = 10_000n;

export interface SessionLinkOptions {
  readonly connection: Connection;
  readonly address: string;
  /** Unique among the links of the process. */
  readonly name: string;
  readonly clock: Clock;
  readonly management: Management;
  /** How long the broker is to wait for a session. */
  readonly waitMs: number;
  /** Called once, when the broker has locked a session for it. */
  held(link: SessionLink): void;
  /** Called once; it may never have held one. */
  ended(link: SessionLink, end: LinkEnd): void;
}

export class SessionLink implements DeliveryHome, HeldSession {
  readonly #options: SessionLinkOptions;
  readonly #session: Session;
  readonly #receiver: EngineReceiver;
  readonly #over = Promise.withResolvers<void>();
  #id = "";
  #lockedUntilMs = 0;
  #listener: SessionListener | undefined;
  #isHeld = false;
  #isReleased = false;
  #loss: TransportError | undefined;

  constructor(options: SessionLinkOptions) {
    this.#options = options;
    this.#session = options.connection.begin({}, { incomingBytes: (arrivingBytes) => this.#bytesRoom(arrivingBytes) });
    this.#receiver = this.#session.openReceiver(
      {
        name: options.name,
        source: { address: options.address, filter: { [sessionFilter]: null } },
        target: { address: options.name },
        senderSettleMode: "unsettled",
        receiverSettleMode: "second",
        maxMessageSize: messageBytesMax,
        properties: { "com.microsoft:timeout": Math.max(1, Math.round(options.waitMs)) },
      },
      {
        onAttach: (_receiver, remote) => this.#onAttach(remote),
        onDelivery: (delivery) => this.#onDelivery(delivery),
        onSettled: (delivery, state) => this.#onSettled(delivery, state),
        onDetach: (_receiver, end, unsettled) => this.#onDetach(end, unsettled),
      },
    );
  }

  get id(): string {
    return this.#id;
  }

  get lockedUntilMs(): number {
    return this.#lockedUntilMs;
  }

  listen(listener: SessionListener): void {
    this.#listener = listener;
    const loss = this.#loss;
    if (loss !== undefined) this.#options.clock.soon(() => listener.lost(loss));
  }

  receive(): void {
    if (this.#receiver.isAttached) this.#receiver.addCredit(1);
  }

  widen(): void {
    this.#session.widen();
  }

  forEachUnsettled(visit: (delivery: AmqpDelivery) => void): void {
    this.#session.incoming.forEach((delivery) => visit((delivery as EngineDelivery).context as AmqpDelivery));
  }

  settle(delivery: AmqpDelivery, order: SettleOrder): void {
    const { group, index } = delivery;
    // It goes back with its session.
    if (order.verb === "release") group?.finish(index, "settled");
    else if (!delivery.engine.settle(stateOf(order))) group?.finish(index, "lock-lost");
  }

  async renew(): Promise<RenewResult> {
    try {
      const reply = await this.#ask("renew-session-lock");
      const until = reply.code === 200 ? reply.body?.get("expiration") : undefined;
      if (until instanceof Date) {
        this.#lockedUntilMs = until.getTime();
        const nowMs = this.#options.clock.monotonicMs();
        this.forEachUnsettled((delivery) => delivery.renewed(this.#lockedUntilMs, nowMs));
        return { kind: "renewed", lockedUntilMs: this.#lockedUntilMs };
      }
      return { kind: isLost(reply) ? "lock-lost" : "unknown" };
    } catch {
      return { kind: "unknown" };
    }
  }

  async getState(): Promise<Uint8Array | undefined> {
    const reply = await this.#ask("get-session-state");
    if (reply.code !== 200) throw replyError(`the state of session '${this.#id}'`, reply);
    const state = reply.body?.get("session-state");
    // The reply's bytes go with it.
    return Buffer.isBuffer(state) ? Uint8Array.from(state) : undefined;
  }

  async setState(state: Uint8Array | undefined): Promise<SettleResult> {
    let reply;
    try {
      reply = await this.#ask("set-session-state", { "session-state": state ?? null });
    } catch {
      return "unknown";
    }
    if (reply.code >= 200 && reply.code <= 299) return "settled";
    if (isLost(reply)) return "lock-lost";
    // A throttled namespace, or a broker that failed, takes it another time.
    if (isPassing(reply)) return "unknown";
    throw replyError(`the state of session '${this.#id}' to be taken`, reply);
  }

  async release(): Promise<void> {
    this.#isReleased = true;
    if (this.#loss !== undefined) return;
    if (this.#receiver.isAttached) this.#receiver.close();
    else this.#session.end();
    if (!(await settledWithin(this.#options.clock, releaseTimeoutMs, this.#over.promise))) this.#session.end();
  }

  /** None is asked for before somebody listens. */
  #bytesRoom(arrivingBytes: number): number {
    const listener = this.#listener;
    return listener === undefined ? 0 : (listener.bytesRoom?.(arrivingBytes) ?? Number.POSITIVE_INFINITY);
  }

  #ask(operation: string, fields: Parameters<Management["ask"]>[1] = {}): ReturnType<Management["ask"]> {
    return this.#options.management.ask(operation, { "session-id": this.#id, ...fields }, this.#options.name);
  }

  #onAttach(remote: Attach): void {
    const id = undescribed(remote.source?.filter?.get(sessionFilter));
    const until = remote.properties?.get("com.microsoft:locked-until-utc");
    this.#id = typeof id === "string" ? id : "";
    if (typeof until === "bigint" || typeof until === "number") this.#lockedUntilMs = Number((BigInt(until) - ticksAtEpoch) / ticksPerMs);
    this.#isHeld = true;
    this.#options.held(this);
  }

  #onDelivery(engine: EngineDelivery): void {
    const delivery = new AmqpDelivery(engine, this);
    engine.context = delivery;
    if (this.#isReleased) return;
    delivery.renewed(Math.max(this.#lockedUntilMs, delivery.lockedUntilMs), this.#options.clock.monotonicMs());
    this.#listener?.delivery(delivery);
  }

  #onSettled(engine: EngineDelivery, state: DeliveryState | undefined): void {
    const delivery = engine.context as AmqpDelivery;
    const { group, index } = delivery;
    if (group === undefined) delivery.isLost = true;
    else group.finish(index, state?.kind === "rejected" ? resultOfRejection(delivery, state) : "settled");
  }

  #onDetach(end: LinkEnd, unsettled: readonly EngineDelivery[]): void {
    this.#loss ??= errorOf(`to hold session '${this.#id}' of ${this.#options.address}`, end.error, "that its link was detached");
    for (const engine of unsettled) {
      const delivery = engine.context as AmqpDelivery;
      delivery.isLost = true;
      // It may have reached the broker before the end.
      delivery.group?.finish(delivery.index, "unknown");
    }
    if (this.#isHeld && !this.#isReleased) this.#listener?.lost(this.#loss);
    this.#over.resolve();
    this.#options.ended(this, end);
    if (end.by === "peer" || end.by === "local") this.#session.end();
  }
}

function undescribed(value: Plain | undefined): Plain | undefined {
  return value instanceof Described ? undescribed(value.value) : value;
}

function isLost({ code, condition }: { readonly code: number; readonly condition: string | undefined }): boolean {
  return code === 410 || isLockLost(condition);
}

/** Whether the same may be taken another time: the status is one of HTTP's. */
function isPassing({ code, condition }: { readonly code: number; readonly condition: string | undefined }): boolean {
  return code >= 500 || code === 408 || code === 429 || isBusy(condition);
}

/** Whether the broker says that no session came in time. */
export function isNoneInTime(condition: ErrorCondition | undefined): boolean {
  return condition?.condition === "com.microsoft:timeout";
}
