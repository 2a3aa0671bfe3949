/** The parts of a producer, loaded with its first event: checks, and the way to the broker. */
import { hash, randomUUID } from "node:crypto";
import { z } from "zod";
import { composePublisher, composeScheduler } from "../compose/broker.ts";
import { compileContractsOf } from "../compose/contracts.ts";
import { openSecrets } from "../compose/secrets.ts";
import type { Config } from "../core/config.ts";
import { serviceBusSchema, transportDefault } from "../core/config/broker.ts";
import { contractsSchema } from "../core/config/contracts.ts";
import { byName, entityName } from "../core/config/fields.ts";
import { ConfigurationError, HoldfastError, InvalidEventError, messageOf, SendError } from "../core/errors.ts";
import { type EventEnvelope, envelopeTextMax, isEnvelopeText, isEventId, isEventType } from "../core/event-envelope.ts";
import { eventMessage } from "../core/event-message.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import { didYouMean } from "../core/near-name.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { Scheduler } from "../ports/scheduler.ts";
import { checkKeys, refuse } from "../skills/author/check-options.ts";
import { defaultEmittedVersion } from "../skills/author/define-skill.ts";
import { reservedHeaders } from "../skills/host/emit.ts";
import { checkEmitOptions, checkText, entityCharactersMax, sessionIdCharactersMax } from "../skills/host/emit-options.ts";
import type { EventContracts } from "../skills/host/event-contracts.ts";
import { checkJson } from "../skills/host/json-value.ts";
import { type CheckPayload, compilePayloadCheck } from "../skills/host/payload.ts";
import type { EventContract, ProducerConfig, ScheduledEvent, SendOptions, SentEvent } from "./producer-types.ts";

/** An event as it is handed over. */
export type GivenEvent = SendOptions & {
  readonly eventType: string;
  readonly payload: unknown;
  readonly at?: Date | undefined;
  readonly delayMs?: number | undefined;
};

const traceIdLength = 32;
const traceparentPattern = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;
const eventKeys = [
  "eventType",
  "payload",
  "eventId",
  "timestamp",
  "traceId",
  "traceparent",
  "correlationId",
  "causationId",
  "tenantId",
  "replyTo",
  "replyToSessionId",
  "version",
  "artifactUri",
  "entity",
  "sessionId",
  "at",
  "delayMs",
  "timeToLiveMs",
  "properties",
];

interface CheckedConfig extends Pick<Config, "serviceBus" | "transport" | "contracts"> {
  readonly publish: NonNullable<Config["publish"]>;
  readonly projectId: string;
  readonly agent: string;
  readonly tenantId?: string | undefined;
}

const schema: z.ZodType<CheckedConfig> = z.strictObject({
  serviceBus: serviceBusSchema,
  transport: z.enum(["amqp", "sdk"]).default(transportDefault),
  publish: z.strictObject({ entity: entityName, byEventType: byName(entityName).default(new Map()) }),
  projectId: z.string().min(1).max(envelopeTextMax),
  agent: z.string().min(1).max(envelopeTextMax),
  tenantId: z.string().min(1).max(envelopeTextMax).optional(),
  events: z.unknown().optional(),
  contracts: contractsSchema.optional(),
});

interface Contract {
  readonly version: string | undefined;
  readonly check: CheckPayload;
}

/** Throws `ConfigurationError`. */
export async function openProducer(given: ProducerConfig): Promise<OpenProducer> {
  const parsed = schema.safeParse(given);
  if (!parsed.success)
    throw new ConfigurationError(
      `createProducer: ${parsed.error.issues.map(({ path, message }) => `${path.join(".") || "configuration"}: ${message}`).join("; ")}`,
    );
  const registered = await compileContractsOf(parsed.data, process.cwd());
  const contracts = given.events === undefined ? undefined : new Map(await Promise.all(Object.entries(given.events).map(contractOf)));
  await openSecrets(parsed.data, process.cwd());
  const publisher = await composePublisher(parsed.data);
  await publisher.start();
  return new OpenProducer(parsed.data, { events: contracts, registered }, publisher);
}

async function contractOf([eventType, { version, payload }]: readonly [string, EventContract]): Promise<readonly [string, Contract]> {
  return [eventType, { version, check: await compilePayloadCheck(`createProducer: events.${eventType}`, payload) }];
}

/** What a producer checks payloads by. */
interface ProducerContracts {
  /** Those it was given; undefined for any event. */
  readonly events: ReadonlyMap<string, Contract> | undefined;
  /** Those of the folder that its configuration names. */
  readonly registered: EventContracts | undefined;
}

interface Ready {
  readonly eventId: string;
  readonly entity: string;
  readonly message: OutgoingMessage;
}

export class OpenProducer {
  readonly #config: CheckedConfig;
  readonly #contracts: ReadonlyMap<string, Contract> | undefined;
  readonly #registered: EventContracts | undefined;
  readonly #publisher: Publisher;
  #scheduler: Promise<Scheduler> | undefined;

  constructor(config: CheckedConfig, { events, registered }: ProducerContracts, publisher: Publisher) {
    this.#config = config;
    this.#contracts = events;
    this.#registered = registered;
    this.#publisher = publisher;
  }

  async sendAll(events: readonly GivenEvent[]): Promise<readonly SentEvent[]> {
    const ready: Ready[] = [];
    for (const event of events) ready.push(await this.#prepare("send", event));
    const sent = await Promise.allSettled(
      Array.from(
        Map.groupBy(ready, ({ entity }) => entity),
        ([entity, all]) =>
          this.#publisher.send(
            entity,
            all.map(({ message }) => message),
          ),
      ),
    );
    const refused = sent.flatMap((part) => (part.status === "rejected" ? [part.reason as unknown] : []));
    if (refused.length > 1 && refused.every((error) => error instanceof SendError)) throw new SendError(new Map(refused.flatMap(({ failed }) => [...failed])));
    if (refused.length > 1) throw new AggregateError(refused, refused.map((error) => messageOf(error)).join("; "));
    if (refused.length === 1) throw refused[0];
    return ready.map(({ eventId, entity }) => ({ eventId, entity }));
  }

  async schedule(event: GivenEvent): Promise<ScheduledEvent> {
    const { eventId, entity, message } = await this.#prepare("schedule", event);
    const scheduler = await (this.#scheduler ??= composeScheduler(this.#config));
    // What is due already is delivered at once.
    const [sequenceNumber = 0n] = await scheduler.schedule(entity, [{ scheduledAtMs: Date.now(), ...message }]);
    return { eventId, entity, sequenceNumber };
  }

  async cancel({ entity, sequenceNumber }: Pick<ScheduledEvent, "entity" | "sequenceNumber">): Promise<void> {
    const scheduler = await (this.#scheduler ??= composeScheduler(this.#config));
    await scheduler.cancel(entity, [sequenceNumber]);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#publisher.stop(), this.#scheduler?.then((scheduler) => scheduler.stop())]);
  }

  async #prepare(owner: "send" | "schedule", given: GivenEvent): Promise<Ready> {
    try {
      const contract = this.#contractOf(owner, given.eventType);
      const message = makeMessage(owner, this.#config, given, contract?.version);
      const checked = await contract?.check(given.payload);
      if (checked?.ok === false) throw new ConfigurationError(checked.invalid.description);
      this.#registered?.checkEmitted(given.eventType, given.version ?? contract?.version ?? defaultEmittedVersion, given.payload);
      const { entity = this.#config.publish.byEventType.get(given.eventType) ?? this.#config.publish.entity, ...rest } = message;
      return { eventId: rest.messageId, entity, message: rest };
    } catch (cause) {
      if (!(cause instanceof HoldfastError)) throw cause;
      throw new InvalidEventError(`${messageOf(cause)}; nothing was sent`, { cause });
    }
  }

  #contractOf(owner: string, eventType: string): Contract | undefined {
    const contract = this.#contracts?.get(eventType);
    if (this.#contracts === undefined || contract !== undefined) return contract;
    const known = [...this.#contracts.keys()];
    throw new ConfigurationError(`${owner}: expected an event of ${known.join(", ") || "none"}, got '${eventType}'${didYouMean(eventType, known)}`);
  }
}

function makeMessage(owner: string, config: CheckedConfig, given: GivenEvent, contractVersion: string | undefined): OutgoingMessage {
  checkKeys(owner, given, eventKeys);
  const { eventType, payload, eventId = randomUUID(), timestamp = new Date(), traceparent, replyTo, replyToSessionId, ...rest } = given;
  if (!isEventType(eventType)) refuse(owner, "an event type of 1 to 128 characters of A-Z a-z 0-9 . _ ~ : / -", eventType);
  if (!isEventId(eventId)) refuse(`${owner}.eventId`, "1 to 128 characters of A-Z a-z 0-9 . _ ~ : / + = @ | -", eventId);
  if (!(timestamp instanceof Date) || Number.isNaN(timestamp.getTime())) refuse(`${owner}.timestamp`, "a valid Date", timestamp);
  const trace = traceparent === undefined ? undefined : traceparentPattern.exec(traceparent)?.[1];
  if (traceparent !== undefined && trace === undefined) refuse(`${owner}.traceparent`, "a W3C traceparent of version 00", traceparent);
  checkJson(`${owner}: payload`, payload);
  const {
    traceId = trace ?? hash("sha256", eventId).slice(0, traceIdLength),
    correlationId = eventId,
    causationId,
    tenantId = config.tenantId,
    ...options
  } = rest;
  for (const [name, text] of Object.entries({ traceId, correlationId, causationId, tenantId }))
    if (text !== undefined && !isEnvelopeText(text)) refuse(`${owner}.${name}`, `1 to ${envelopeTextMax} characters`, text);
  const checked = checkEmitOptions({ version: contractVersion, ...options } as SendOptions, Date.now(), reservedHeaders, owner);
  const event: EventEnvelope = {
    eventId,
    eventType,
    traceId,
    correlationId,
    projectId: config.projectId,
    ...(tenantId === undefined ? undefined : { tenantId }),
    originatingAgent: config.agent,
    version: checked.version,
    timestamp: timestamp.toISOString(),
    ...(causationId === undefined ? undefined : { causationId }),
    ...(checked.artifactUri === undefined ? undefined : { artifactUri: checked.artifactUri }),
    payload,
  };
  return eventMessage(event, {
    message: {
      ...checked.message,
      ...(replyTo === undefined ? undefined : { replyTo: checkText(`${owner}.replyTo`, replyTo, entityCharactersMax) }),
      ...(replyToSessionId === undefined ? undefined : { replyToSessionId: checkText(`${owner}.replyToSessionId`, replyToSessionId, sessionIdCharactersMax) }),
    },
    properties: { ...checked.properties, ...(traceparent === undefined ? undefined : { traceparent }) },
  });
}
