/**
 * What of a worker speaks to the broker: transport and publisher, and what can be asked of entities. The official client is loaded where it
 * is used: it takes 25 MB and a third of a second.
 */
import { readEntityDepth, readEntitySettings } from "../adapters/amqp/administration.ts";
import { checkCanSend } from "../adapters/amqp/check-sending.ts";
import type { Entity } from "../adapters/amqp/namespace.ts";
import { createAmqpPublisher } from "../adapters/amqp/publisher.ts";
import { createAmqpScheduler } from "../adapters/amqp/scheduler.ts";
import { SharedConnection } from "../adapters/amqp/shared-connection.ts";
import { createAmqpTransport } from "../adapters/amqp/transport.ts";
import { mergeTransports, readBesideSessions } from "../adapters/merged/transport.ts";
import type { ServiceBusConnection } from "../adapters/service-bus/client.ts";
import { watchedCredential } from "../adapters/support/watched-credential.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { ownIdentity } from "./identity.ts";
import type { Config, ServiceBusSettings } from "../core/config.ts";
import { retryEntityOf, type SourcePlace, type SourceSettings } from "../core/config/sources.ts";
import type { CredentialNews } from "../core/credential-news.ts";
import { ConfigurationError } from "../core/errors.ts";
import type { EntityDepth, EntitySettings, SendingCheck } from "../ports/broker-facts.ts";
import { sessionsHeldMax } from "../policy/session-turns.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { Scheduler } from "../ports/scheduler.ts";
import type { Transport } from "../ports/transport.ts";

/** The broker's address with what to log in with: a key, or the workload's own identity. */
export async function connectionOf(serviceBus: ServiceBusSettings): Promise<ServiceBusConnection> {
  if ("connectionString" in serviceBus) return serviceBus;
  return { ...serviceBus, credential: await ownIdentity() };
}

function entityOf(source: SourcePlace): Entity {
  return "queue" in source ? { queue: source.queue } : { topic: source.topic, subscription: source.subscription };
}

/** Is called with what happens to the tokens of logins. */
type Heard = (news: CredentialNews) => void;

/** The official client asks the credential by itself; the answers are observed there. */
function overheard(connection: ServiceBusConnection, heard: Heard | undefined): ServiceBusConnection {
  if (heard === undefined || !("credential" in connection)) return connection;
  return { ...connection, credential: watchedCredential(connection.credential, connection.fullyQualifiedNamespace, heard) };
}

export async function composePublisher(config: Pick<Config, "serviceBus" | "transport">, heard?: Heard): Promise<Publisher> {
  const connection = await connectionOf(config.serviceBus);
  const options = {
    ...(config.transport === "amqp" ? connection : overheard(connection, heard)),
    clock: systemClock,
    ...(heard === undefined ? {} : { heard }),
  };
  if (config.transport === "amqp") return createAmqpPublisher(options);
  const { createServiceBusPublisher } = await import("../adapters/service-bus/publisher.ts");
  return createServiceBusPublisher(options);
}

/** For messages that are to be taken back before they come up; nothing is connected before the first one. */
export async function composeScheduler(config: Pick<Config, "serviceBus" | "transport">): Promise<Scheduler> {
  const connection = await connectionOf(config.serviceBus);
  if (config.transport === "amqp") return createAmqpScheduler({ ...connection, clock: systemClock });
  return (await import("../adapters/service-bus/scheduler.ts")).createServiceBusScheduler(connection);
}

/** Makes transports, of entities or of their dead letters, that share what can be shared; of an entity's sessions so many are held at once. */
export type MakeTransport = (entity: Entity, sessionsMax?: number) => Transport;

export async function composeTransports(config: Pick<Config, "serviceBus" | "transport">, heard?: Heard): Promise<MakeTransport> {
  const connection = await connectionOf(config.serviceBus);
  const clock = systemClock;
  if (config.transport === "sdk") {
    const { createServiceBusTransport, sharedServiceBusClient } = await import("../adapters/service-bus/transport.ts");
    const options = overheard(connection, heard);
    const shared = sharedServiceBusClient(options);
    return (entity) => createServiceBusTransport({ ...options, entity, clock }, shared);
  }
  const options = { ...connection, clock, ...(heard === undefined ? {} : { heard }) };
  const shared = new SharedConnection(options);
  return (entity, sessionsMax) => createAmqpTransport({ ...options, entity, sessionsMax }, shared);
}

/** A subscription is read together with its retry queue. */
export function transportOf(source: SourceSettings, make: MakeTransport): Transport {
  const main = make(entityOf(source), source.sessions && sessionsHeldMax(source.sessions));
  if ("queue" in source) return main;
  return (source.sessions === undefined ? mergeTransports : readBesideSessions)(main, make({ queue: source.retryQueue }), systemClock);
}

/** What is read of a source: it first, then the retry queue of a subscription. */
export function entitiesOf(source: SourcePlace): readonly Entity[] {
  return "queue" in source ? [entityOf(source)] : [entityOf(source), { queue: source.retryQueue }];
}

/** The settings of an entity, and the broker's time. */
export async function readBrokerFacts(config: Pick<Config, "serviceBus">, entity: Entity): Promise<EntitySettings> {
  return readEntitySettings(await connectionOf(config.serviceBus), entity);
}

/** Messages that lie in all entities of a source together. */
export async function readDepth(config: Config, source: SourcePlace): Promise<EntityDepth> {
  const connection = await connectionOf(config.serviceBus);
  const all = await Promise.all(entitiesOf(source).map((entity) => readEntityDepth(connection, entity)));
  const sum = (pick: (depth: EntityDepth) => number): number => all.reduce((total, depth) => total + pick(depth), 0);
  return { active: sum(({ active }) => active), scheduled: sum(({ scheduled }) => scheduled), deadLettered: sum(({ deadLettered }) => deadLettered) };
}

/** What the worker uses an entity for. */
export interface EntityUse {
  readonly entity: string;
  /** The key of the configuration that names it. */
  readonly key: string;
  /** What goes there, or comes from there. */
  readonly what: string;
  readonly does: "read" | "send events" | "send copies";
  /** The source that it belongs to. */
  readonly source?: string;
}

/** Every use of every entity that the worker sends to: events that skills emit, events about the work itself, reassigned ones, and scheduled copies. */
export function sendingUses({ publish, platformEvents, escalation, sources }: Config): readonly EntityUse[] {
  const uses: EntityUse[] = [];
  const add = (entity: string, key: string, what: string, does: EntityUse["does"]): void => void uses.push({ entity, key, what, does });
  if (publish !== undefined) add(publish.entity, "publish.entity", "events that skills emit are sent there", "send events");
  for (const [type, entity] of publish?.byEventType ?? [])
    add(entity, `publish.byEventType.${type}`, `${type} events that skills emit are sent there`, "send events");
  if (platformEvents !== undefined) add(platformEvents.entity, "platformEvents.entity", "events about the work itself are sent there", "send events");
  for (const [name, channel] of escalation?.channels ?? [])
    if (channel.kind === "queue") add(channel.queue, `escalation.channels.${name}.queue`, "events that failed are reassigned there", "send events");
  sources.forEach((source, index) => {
    const key = `sources.${index}.${"queue" in source ? "queue" : "retryQueue"}`;
    const use = { entity: retryEntityOf(source), key, source: source.name };
    // Messages of sessions wait where they are.
    const copies =
      "queue" in source && source.sessions !== undefined
        ? "what is to be compensated without its message is sent there, and dead letters that are replayed"
        : "copies of messages that are retried or postponed are sent there";
    uses.push({ ...use, what: "it is read", does: "read" }, { ...use, what: copies, does: "send copies" });
  });
  return uses;
}

/** Whether the worker could send there, on the way that it would take. */
export async function checkSendingTo(config: Config, entity: string): Promise<SendingCheck> {
  const connection = await connectionOf(config.serviceBus);
  if (config.transport === "amqp") return checkCanSend({ ...connection, clock: systemClock }, entity);
  return (await import("../adapters/service-bus/check-sending.ts")).checkCanSend(connection, entity);
}

/** Sequence numbers of messages that were just sent and still lie in the entity, by message id; see `findSequenceNumbers`. */
export async function findSent(
  serviceBus: ServiceBusSettings,
  entity: string,
  messageIds: ReadonlySet<string>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const { findSequenceNumbers } = await import("../adapters/service-bus/find-sent.ts");
  return findSequenceNumbers(await connectionOf(serviceBus), entity, messageIds);
}

/** Where an event of this type is sent. Throws `ConfigurationError` when that is not configured. */
export function entityFor(config: Config, eventType: string): string {
  const entity = config.publish?.byEventType.get(eventType) ?? config.publish?.entity;
  if (entity === undefined)
    throw new ConfigurationError(
      `publish: expected an entity for '${eventType}', which a skill has emitted, found none; name one in publish.entity or publish.byEventType, then send the message again: its run is done, and publishes what is left`,
    );
  return entity;
}
