// What the wire forms of an event have in common: names of fields, how a form is made out, and how versions are read.
import type { WireForm } from "./event-envelope.ts";

/** Names of the envelope's fields in one wire form. */
export interface FieldNames {
  readonly eventId: string;
  readonly eventType: string;
  readonly traceId: string;
  readonly correlationId: string;
  readonly projectId: string;
  readonly tenantId: string;
  readonly originatingAgent: string;
  readonly version: string;
  readonly timestamp: string;
  readonly causationId: string;
  readonly artifactUri: string;
}

export const canonicalNames: FieldNames = {
  eventId: "eventId",
  eventType: "eventType",
  traceId: "traceId",
  correlationId: "correlationId",
  projectId: "projectId",
  tenantId: "tenantId",
  originatingAgent: "originatingAgent",
  version: "version",
  timestamp: "timestamp",
  causationId: "causationId",
  artifactUri: "artifactUri",
};

export const snakeNames: FieldNames = {
  eventId: "event_id",
  eventType: "event_type",
  traceId: "trace_id",
  correlationId: "correlation_id",
  projectId: "project_id",
  tenantId: "tenant_id",
  originatingAgent: "originating_agent",
  version: "version",
  timestamp: "timestamp",
  causationId: "causation_id",
  artifactUri: "artifact_uri",
};

export const cloudEventsNames: FieldNames = {
  eventId: "id",
  eventType: "type",
  traceId: "traceid",
  correlationId: "correlationid",
  projectId: "projectid",
  tenantId: "tenantid",
  originatingAgent: "originatingagent",
  version: "version",
  timestamp: "time",
  causationId: "causationid",
  artifactUri: "artifacturi",
};

export const eventGridNames: FieldNames = { ...canonicalNames, eventId: "id", version: "dataVersion", timestamp: "eventTime" };

/** Which of the telling keys stand at the top of a body. */
export interface TellingKeys {
  readonly eventId: boolean;
  readonly eventIdInSnake: boolean;
  readonly specversion: boolean;
  /** `id`, `eventType` and `eventTime`, all three. */
  readonly eventGrid: boolean;
}

/** The form of a body, by its content type and its keys. */
export function formOf(isCloudEvents: boolean, keys: TellingKeys): WireForm {
  if (isCloudEvents) return "cloudevents-structured";
  if (keys.eventId) return "canonical";
  if (keys.eventIdInSnake) return "snake";
  if (keys.specversion) return "cloudevents-structured";
  return keys.eventGrid ? "event-grid" : "canonical";
}

/** The version of an event whose form names none. */
export const defaultVersion = "1.0";
/** The project of an event whose form names none. */
export const defaultProjectId = "default";

/** The last `major.minor` in a schema's URI, such as `https://schemas.example/order/1.2` or `urn:order:v1.2`. */
function versionOfSchemaUri(uri: string): string | undefined {
  return /(?:^|[/:#?=@_-])v?(\d{1,4}\.\d{1,4})(?:\.json)?[#/]?$/.exec(uri.slice(-256))?.[1];
}

/** The version of a CloudEvent: its `version`, else what its schema's URI ends with, else "1.0"; with `demands` only the first. */
export function cloudEventVersion<Value>(version: Value, dataschema: unknown, demands: boolean): Value | string {
  if (version !== undefined || demands) return version;
  return typeof dataschema === "string" ? (versionOfSchemaUri(dataschema) ?? defaultVersion) : defaultVersion;
}

/**
 * The version of an Event Grid event, from its `dataVersion`: `2.1` as it is, `2` as "2.0", `2.1.3` as "2.1", and a missing or
 * empty one as "1.0" unless it is demanded. Anything else comes back as it was, to be refused.
 */
export function eventGridVersion<Value>(dataVersion: Value, demands: boolean): Value | string {
  if (dataVersion === undefined || dataVersion === null || dataVersion === "") return demands ? dataVersion : defaultVersion;
  const parts = typeof dataVersion === "string" ? /^(\d{1,4})(?:\.(\d{1,4})(?:\.\d{1,9})?)?$/.exec(dataVersion) : null;
  return parts === null ? dataVersion : `${parts[1]}.${parts[2] ?? "0"}`;
}

/** How the attributes of a binary CloudEvent are prefixed among the application properties. */
export const cloudEventsPrefixes: readonly string[] = ["cloudEvents:", "cloudEvents_", "ce-"];

const msgpackPattern = /^application\/(?:x-|vnd\.)?(?:[a-z0-9.-]+\+)?(?:msgpack|messagepack)\s*(?:;|$)/i;
const jsonPattern = /^(?:application|text)\/(?:[a-z0-9.-]+\+)?json\s*(?:;|$)/i;

/** The codec that a media type names; undefined for a type of something else. */
export function codecOfMediaType(mediaType: string): "json" | "msgpack" | undefined {
  if (msgpackPattern.test(mediaType)) return "msgpack";
  return jsonPattern.test(mediaType) ? "json" : undefined;
}
