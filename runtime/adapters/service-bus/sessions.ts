/** What is asked of an entity's sessions through the SDK: whether it has any, and the next one that is free. */
import { randomUUID } from "node:crypto";
import type { ServiceBusClient, ServiceBusSessionReceiver } from "@azure/service-bus";
import type { Clock } from "../../core/clock.ts";
import type { HeldSession } from "../../ports/transport.ts";
import { settledWithin } from "../support/waiting.ts";
import { type ServiceBusEntity, nameOf } from "./client.ts";
import { hasCode, transportErrorOf } from "./errors.ts";
import { closeTimeoutMs } from "./limits.ts";
import { SdkSession, type SessionDelivery } from "./session.ts";

export interface EntitySessionsOptions {
  readonly entity: ServiceBusEntity;
  readonly clock: Clock;
  readonly answerTimeoutMs: number;
  client(): ServiceBusClient;
}

export class EntitySessions {
  readonly #options: EntitySessionsOptions;
  readonly #held = new Set<SdkSession>();
  #isStopped = false;

  constructor(options: EntitySessionsOptions) {
    this.#options = options;
  }

  /** What was handed out and has no order yet. */
  *unsettled(): Iterable<SessionDelivery> {
    for (const session of this.#held) yield* session.unsettled;
  }

  /** The client waits for as long as it waits for any answer. */
  async accept(): Promise<HeldSession | undefined> {
    const { entity, clock, answerTimeoutMs } = this.#options;
    let receiver: ServiceBusSessionReceiver;
    try {
      receiver = await this.#accept();
    } catch (thrown) {
      if (this.#isStopped || hasCode(thrown, "ServiceTimeout", "OperationTimeoutError", "SessionCannotBeLocked", "SessionCannotBeLockedError"))
        return undefined;
      throw transportErrorOf(`the next session of ${nameOf(entity)}`, thrown);
    }
    const session = new SdkSession({ receiver, clock, answerTimeoutMs, closed: (which) => this.#held.delete(which) });
    if (this.#isStopped) {
      await session.release();
      return undefined;
    }
    this.#held.add(session);
    return session;
  }

  /**
   * Asks for a session that nobody has, which is refused where there are none. The SDK then says only that it could not be
   * locked; asked for the next session it gives the broker's own words.
   */
  async areRequired(): Promise<boolean | undefined> {
    const probe = await this.#couldAccept(`holdfast.probe.${randomUUID()}`);
    return probe ?? this.#couldAccept(undefined);
  }

  async #couldAccept(id: string | undefined): Promise<boolean | undefined> {
    try {
      const receiver = await this.#accept(id);
      await settledWithin(this.#options.clock, closeTimeoutMs, receiver.close());
      return true;
    } catch (thrown) {
      const isWrongKind = thrown instanceof Error && /does not require sessions/i.test(thrown.message);
      return isWrongKind ? false : undefined;
    }
  }

  /** Lets go of every session. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all([...this.#held].map((session) => session.release()));
  }

  #accept(id?: string): Promise<ServiceBusSessionReceiver> {
    const { entity } = this.#options;
    const client = this.#options.client();
    // The SDK deletes fields of the options it is given.
    const options = { receiveMode: "peekLock", skipParsingBodyAsJson: true, skipConvertingDate: true, maxAutoLockRenewalDurationInMs: 0 } as const;
    if ("queue" in entity)
      return id === undefined ? client.acceptNextSession(entity.queue, { ...options }) : client.acceptSession(entity.queue, id, { ...options });
    const { topic, subscription } = entity;
    return id === undefined ? client.acceptNextSession(topic, subscription, { ...options }) : client.acceptSession(topic, subscription, id, { ...options });
  }
}
