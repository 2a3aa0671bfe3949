/** `holdfast send`: puts events on a queue or topic, for trying a skill by hand. */
import { hash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Config, transportDefault } from "../core/config.ts";
import { firstSource } from "../core/config/sources.ts";
import { eventMessage } from "../core/event-message.ts";
import { envelopeTextMax, isEnvelopeText, isEventId, isEventType, isVersion } from "../core/event-envelope.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import { compileContractsOf } from "../compose/contracts.ts";
import { composePublisher, findSent, readBrokerFacts } from "../compose/broker.ts";
import type { EventContracts } from "../skills/host/event-contracts.ts";
import { utcTimeOf } from "../skills/host/utc-time.ts";
import { withDeadline } from "./finding.ts";
import { loadConfig } from "./load-config.ts";
import { loadSource } from "./load-source.ts";
import { writeResult } from "./output.ts";

export interface SendOptions {
  readonly config?: string;
  readonly source?: string;
  readonly connectionString?: string;
  readonly entity?: string;
  readonly eventType: string;
  readonly eventVersion: string;
  readonly eventId?: string;
  readonly payload: string;
  /** False sends what its contract refuses. */
  readonly check: boolean;
  /** ISO 8601. */
  readonly timestamp?: string;
  readonly project: string;
  readonly session?: string;
  readonly count: number;
  readonly json?: boolean;
}

/** What is known of an event that was sent. Its message has the event's id. */
interface Sent {
  readonly eventId: string;
  readonly messageId: string;
  /** As many as it was sent, where it still lies in a queue that may be looked into. */
  readonly sequenceNumbers: readonly string[];
}

/** Events that are listed one by one, where people read. */
const linesMax = 100;
/** Messages in one call to the broker. */
const batchMax = 500;
const traceIdLength = 32;
/** The broker's own. */
const sessionIdCharactersMax = 128;

/** Where events are sent. */
interface Target extends Pick<Config, "serviceBus" | "transport"> {
  readonly entity: string;
  /** By the configuration; what it does not say, the broker is asked. */
  readonly requiresSession: boolean;
  /** Those of the configuration; undefined where it has none, or there is no configuration. */
  readonly contracts?: EventContracts | undefined;
}

export async function send(options: SendOptions): Promise<void> {
  const { eventType, eventVersion, eventId } = options;
  checkPlace(options);
  check("--event-type", isEventType(eventType), "1 to 128 characters of A-Z a-z 0-9 . _ ~ : / -", eventType);
  check("--event-version", isVersion(eventVersion), "major.minor", eventVersion);
  if (eventId !== undefined) check("--event-id", isEventId(eventId), "1 to 128 characters of A-Z a-z 0-9 . _ ~ : / + = @ | -", eventId);
  check("--project", isEnvelopeText(options.project), `1 to ${envelopeTextMax} characters`, options.project);
  const { timestamp } = options;
  if (timestamp !== undefined)
    check("--timestamp", utcTimeOf(timestamp) !== undefined, "an ISO 8601 time that exists, such as 2024-05-01T12:00:00Z", timestamp);
  const payload = readPayload(options.payload);
  if (options.session !== undefined) check("--session", isSessionId(options.session), `1 to ${sessionIdCharactersMax} characters`, options.session);
  const repeated = eventId === undefined ? undefined : makeMessage(options, eventId, payload);
  const { entity, requiresSession, contracts, ...through } = await target(options);
  if (options.check) checkContract(contracts, options, payload);
  if (options.session === undefined && (requiresSession || (await asksForSession(through, entity))))
    throw new ConfigurationError(`--session: expected the session that the event belongs to, for '${entity}' requires sessions, found none; nothing was sent`);
  const eventIds = new Set<string>();
  const publisher = await composePublisher(through);
  await publisher.start();
  try {
    for (let sent = 0; sent < options.count; sent += batchMax) {
      const size = Math.min(batchMax, options.count - sent);
      const messages = Array.from({ length: size }, () => repeated ?? makeMessage(options, randomUUID(), payload));
      await publisher.send(entity, messages);
      for (const { messageId } of messages) eventIds.add(messageId);
    }
  } finally {
    await publisher.stop();
  }
  const numbers = await findSent(through.serviceBus, entity, eventIds);
  const sent = [...eventIds].map((id): Sent => ({ eventId: id, messageId: id, sequenceNumbers: numbers.get(id) ?? [] }));
  writeResult(options.json === true ? `${JSON.stringify(sent, undefined, 2)}\n` : `${describeSent(options, entity, sent)}\n`);
}

/** A send is answered without a sequence number; one is shown where the message could still be seen in the queue. */
function describeSent({ count, eventType }: SendOptions, entity: string, sent: readonly Sent[]): string {
  const lines = sent
    .slice(0, linesMax)
    .map(
      ({ eventId, sequenceNumbers }) =>
        `eventId ${eventId}, ${sequenceNumbers.length === 0 ? "sequence number not known" : `sequence number ${sequenceNumbers.join(", ")}`}`,
    );
  if (sent.length > linesMax) lines.push(`… and ${sent.length - linesMax} more; --json lists all`);
  if (sent.some(({ sequenceNumbers }) => sequenceNumbers.length === 0))
    lines.push("not known: the message was taken already, it is behind 1 000 others, or the entity is a topic or may not be looked into");
  return [`sent ${count} ${eventType} to ${entity}; each message has its event's id`, ...lines].join("\n");
}

function check(flag: string, good: boolean, expected: string, got: string): void {
  if (!good) throw new ConfigurationError(`${flag}: expected ${expected}, got '${got}'`);
}

/** Of two options that name what is sent to, one would go unheard. */
function checkPlace({ connectionString, config, source, entity }: SendOptions): void {
  const refuse = (option: string, other: string): never => {
    throw new ConfigurationError(`${option}: expected it without ${other}, for each says where the events go, found both; leave one of them out`);
  };
  if (connectionString !== undefined && config !== undefined) refuse("--connection-string", "--config");
  if (connectionString !== undefined && source !== undefined) refuse("--connection-string", "--source");
  if (entity !== undefined && source !== undefined) refuse("--entity", "--source");
}

/** What the command line says goes before the example, and that before the defaults. `isGiven`: whether an option stands on the command line. */
export function withExample(options: SendOptions, example: Partial<SendOptions>, isGiven: (name: string) => boolean): SendOptions {
  return { ...options, ...Object.fromEntries(Object.entries(example).filter(([name]) => !isGiven(name))) };
}

async function target(options: SendOptions): Promise<Target> {
  if (options.connectionString !== undefined) {
    if (options.entity === undefined) throw new ConfigurationError("expected --entity NAME beside --connection-string, found none");
    return { serviceBus: { connectionString: options.connectionString }, transport: transportDefault, entity: options.entity, requiresSession: false };
  }
  if (options.entity !== undefined) {
    const { config, directory } = await loadConfig(options.config);
    const { serviceBus, transport } = config;
    return { serviceBus, transport, entity: options.entity, requiresSession: false, contracts: await compileContractsOf(config, directory) };
  }
  const { config, directory } = await loadSource(options);
  const { serviceBus, transport } = config;
  const source = firstSource(config);
  return {
    serviceBus,
    transport,
    entity: "queue" in source ? source.queue : source.topic,
    requiresSession: source.sessions !== undefined,
    contracts: await compileContractsOf(config, directory),
  };
}

/** What cannot be looked into, as a topic, is left to the broker. */
async function asksForSession({ serviceBus }: Pick<Config, "serviceBus">, entity: string): Promise<boolean> {
  return withDeadline(readBrokerFacts({ serviceBus }, { queue: entity })).then(
    (settings) => settings.requiresSession,
    () => false,
  );
}

function checkContract(contracts: EventContracts | undefined, { eventType, eventVersion }: SendOptions, payload: unknown): void {
  try {
    contracts?.checkEmitted(eventType, eventVersion, payload);
  } catch (error) {
    throw new ConfigurationError(`--payload: ${messageOf(error, 1_000)}; nothing was sent; --no-check sends it all the same`, { cause: error });
  }
}

function isSessionId(text: string): boolean {
  return text.length >= 1 && text.length <= sessionIdCharactersMax;
}

function readPayload(text: string): unknown {
  try {
    return JSON.parse(text.startsWith("@") ? readFileSync(text.slice(1), "utf8") : text) as unknown;
  } catch (error) {
    throw new ConfigurationError(`--payload: expected JSON, or @FILE that holds JSON: ${messageOf(error)}`);
  }
}

function makeMessage(options: SendOptions, eventId: string, payload: unknown): OutgoingMessage {
  const envelope = {
    eventId,
    eventType: options.eventType,
    // Made of the id, so that sending an event twice is sending the same event.
    traceId: hash("sha256", eventId).slice(0, traceIdLength),
    correlationId: eventId,
    projectId: options.project,
    originatingAgent: "holdfast-send",
    version: options.eventVersion,
    timestamp: options.timestamp ?? new Date().toISOString(),
    payload,
  };
  return eventMessage(envelope, { message: options.session === undefined ? {} : { sessionId: options.session } });
}
