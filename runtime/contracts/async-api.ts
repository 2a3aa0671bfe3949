/** The same as an AsyncAPI 3 document: a channel for each entity, a message for each version of each event. */
import { isRecord } from "../skills/author/check-options.ts";
import type { EventUsers } from "./event-users.ts";
import { type ContractRegistry, type ContractType, type ContractVersion, newestOf } from "./registry.ts";

/** What the configuration says of the places that events come from and go to. */
export interface EventPlaces {
  readonly title: string;
  readonly version: string;
  /** Of the broker; undefined where it is not known. */
  readonly host: string | undefined;
  /** Queues and topics that are read. */
  readonly sources: readonly string[];
  /** Where an event type is sent; undefined for nowhere. */
  readonly entityOf: (eventType: string) => string | undefined;
}

const schemaFormat = "application/schema+json;version=draft-07";
const text = { type: "string" } as const;

/** Beside the payload; see the message format in the documentation. */
const envelopeFields = {
  eventId: { ...text, description: "Unique id of the event, by which it is de-duplicated", maxLength: 128 },
  traceId: text,
  correlationId: text,
  projectId: text,
  tenantId: text,
  originatingAgent: text,
  timestamp: { ...text, format: "date-time" },
  causationId: text,
  artifactUri: text,
} as const;
const requiredFields = ["eventId", "eventType", "version", "traceId", "correlationId", "projectId", "originatingAgent", "timestamp", "payload"];

export function asyncApiOf(registry: ContractRegistry, users: readonly EventUsers[], places: EventPlaces): object {
  const types = [...registry.types.values()];
  const versions = types.flatMap((type) => type.versions.map((version) => ({ type, version, key: keyOf(`${type.eventType}-${version.version}`) })));
  const handled = users.filter(({ handledBy }) => handledBy.length > 0).map(({ eventType }) => eventType);
  const emitted = users.filter(({ emittedBy }) => emittedBy.length > 0).map(({ eventType }) => eventType);
  const addresses = new Map<string, Set<string>>(places.sources.map((source) => [source, new Set(handled)]));
  const addressed = (eventType: string): string => places.entityOf(eventType) ?? "events";
  for (const { eventType } of types) {
    if (handled.includes(eventType) && places.sources.length > 0 && !emitted.includes(eventType)) continue;
    const address = addressed(eventType);
    addresses.set(address, (addresses.get(address) ?? new Set()).add(eventType));
  }
  const keysOf = (eventTypes: ReadonlySet<string>): readonly string[] => versions.filter(({ type }) => eventTypes.has(type.eventType)).map(({ key }) => key);
  const channels = [...addresses].map(([address, eventTypes]) => [
    keyOf(address),
    {
      address,
      messages: Object.fromEntries(keysOf(eventTypes).map((key) => [key, { $ref: `#/components/messages/${key}` }])),
      ...(places.host === undefined ? {} : { servers: [{ $ref: "#/servers/serviceBus" }] }),
    },
  ]);
  const operation = (action: "receive" | "send", address: string, eventTypes: readonly string[]) => {
    const channel = keyOf(address);
    const keys = keysOf(new Set(eventTypes));
    return keys.length === 0
      ? []
      : [
          [
            `${action}-${channel}`,
            { action, channel: { $ref: `#/channels/${channel}` }, messages: keys.map((key) => ({ $ref: `#/channels/${channel}/messages/${key}` })) },
          ],
        ];
  };
  const sentTo = Map.groupBy(
    emitted.filter((eventType) => registry.types.has(eventType)),
    addressed,
  );
  return {
    asyncapi: "3.0.0",
    info: { title: places.title, version: places.version },
    defaultContentType: "application/json",
    ...(places.host === undefined ? {} : { servers: { serviceBus: { host: places.host, protocol: "amqps", description: "Azure Service Bus" } } }),
    channels: Object.fromEntries(channels),
    operations: Object.fromEntries([
      ...places.sources.flatMap((source) => operation("receive", source, handled)),
      ...[...sentTo].flatMap(([address, eventTypes]) => operation("send", address, eventTypes)),
    ]),
    components: {
      messages: Object.fromEntries(versions.map(({ type, version, key }) => [key, messageOf(type, version, key)])),
      schemas: Object.fromEntries(versions.map(({ version, key }) => [key, schemaOf(version, key)])),
    },
  };
}

/** Keys of components are of A-Z a-z 0-9 . _ - alone. */
function keyOf(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9._-]/g, "_");
}

function messageOf(type: ContractType, version: ContractVersion, key: string): object {
  const { title, description } = version.jsonSchema;
  const examples = type.examples.filter((one) => one.version === version.version);
  return {
    name: type.eventType,
    title: typeof title === "string" ? title : `${type.eventType} ${version.version}`,
    ...(typeof description === "string" ? { description } : {}),
    ...(version === newestOf(type, version.major) ? {} : { summary: `${type.eventType} ${newestOf(type, version.major)?.version ?? ""} is newer` }),
    contentType: "application/json",
    headers: {
      type: "object",
      properties: { eventType: { const: type.eventType }, version: { const: version.version }, eventId: text },
    },
    payload: {
      schemaFormat,
      schema: {
        type: "object",
        properties: {
          ...envelopeFields,
          eventType: { const: type.eventType },
          version: { const: version.version },
          payload: { $ref: `#/components/schemas/${key}/schema` },
        },
        required: requiredFields,
      },
    },
    ...(examples.length === 0
      ? {}
      : {
          examples: examples.map(({ file, payload }) => ({
            name: (file.split("/").at(-1) ?? file).replace(/\.json$/, ""),
            payload: { eventType: type.eventType, version: version.version, payload },
          })),
        }),
  };
}

/** References within the contract lead to where it stands in this document. */
function schemaOf({ jsonSchema }: ContractVersion, key: string): object {
  const rebased = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(rebased);
    if (!isRecord(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [
        name,
        name === "$ref" && typeof item === "string" && item.startsWith("#") ? `#/components/schemas/${key}/schema${item.slice(1)}` : rebased(item),
      ]),
    );
  };
  const { $schema: _schema, $id: _id, ...schema } = rebased(jsonSchema) as Readonly<Record<string, unknown>>;
  return { schemaFormat, schema };
}
