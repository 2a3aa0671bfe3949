// What a skill says of an event that it emits, checked.
import { isVersion } from "../../core/event-envelope.ts";
import type { HeaderValue, OutgoingMessage } from "../../core/delivery.ts";
import { checkKeys, checkNumber, isRecord, refuse } from "../author/check-options.ts";
import { defaultEmittedVersion } from "../author/define-skill.ts";
import type { EmitOptions } from "../author/context.ts";

/** A year and a bit: longer than any queue is told to keep a message. */
const delayRange = { min: 0, max: 400 * 86_400_000 } as const;
const timeToLiveRange = { min: 1, max: 400 * 86_400_000 } as const;
/** Service Bus takes entity paths of 260 characters, and ids of sessions of 128. */
export const entityCharactersMax = 260;
export const sessionIdCharactersMax = 128;
const artifactUriCharactersMax = 2_048;
const propertiesMax = 50;
const propertyNameCharactersMax = 128;
/** Of all names and texts together: what a message may carry beside its body is 64 KiB, and the envelope's own headers go there, too. */
const propertiesBytesMax = 16 * 1024;
/** Names that the runtime writes, or reads as its own. */
const reservedPattern = /^(?:holdfast-|diagnostic-id$|traceparent$|tracestate$)/i;

const knownKeys = ["version", "artifactUri", "entity", "sessionId", "delayMs", "at", "timeToLiveMs", "properties"];

/** What the options say of the message, and of the envelope. */
export interface CheckedEmitOptions {
  readonly version: string;
  readonly artifactUri: string | undefined;
  readonly message: Pick<OutgoingMessage, "entity" | "sessionId" | "scheduledAtMs" | "timeToLiveMs">;
  readonly properties: Readonly<Record<string, HeaderValue>>;
}

export function checkText(owner: string, value: unknown, charactersMax: number): string {
  if (typeof value !== "string" || value.length === 0 || value.length > charactersMax || /\p{Cc}/u.test(value))
    refuse(owner, `1 to ${charactersMax} characters, none of them a control character`, value);
  return value;
}

function checkAt(owner: string, value: unknown): number {
  if (!(value instanceof Date) || Number.isNaN(value.getTime())) refuse(`${owner}.at`, "a valid Date", value);
  return value.getTime();
}

function checkProperty(place: string, name: string, value: unknown): HeaderValue {
  const owner = `${place}.properties.${name.slice(0, 40)}`;
  if (name.length > propertyNameCharactersMax || reservedPattern.test(name))
    refuse(owner, `a name of at most ${propertyNameCharactersMax} characters that does not begin with holdfast-`, name);
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (typeof value === "bigint" && BigInt.asIntN(64, value) === value) return value;
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value;
  return refuse(owner, "a string, a finite number, a bigint of 64 bits, a boolean, a Date or null", value);
}

function checkProperties(owner: string, given: unknown, envelope: ReadonlySet<string>): Readonly<Record<string, HeaderValue>> {
  if (!isRecord(given)) refuse(`${owner}.properties`, "an object", given);
  const names = Object.keys(given);
  if (names.length > propertiesMax) refuse(`${owner}.properties`, `at most ${propertiesMax} properties`, names.length);
  let bytes = 0;
  const properties = names.map((name) => {
    if (envelope.has(name)) refuse(`${owner}.properties.${name}`, "a name that the event's own envelope does not have", name);
    const value = checkProperty(owner, name, given[name]);
    bytes += Buffer.byteLength(name) + (typeof value === "string" ? Buffer.byteLength(value) : 8);
    return [name, value] as const;
  });
  if (bytes > propertiesBytesMax) refuse(`${owner}.properties`, `at most ${propertiesBytesMax} bytes in all`, bytes);
  return Object.fromEntries(properties);
}

/** Throws `ConfigurationError`. `headers` are the names that the event's envelope takes; `owner` names the call in errors. */
export function checkEmitOptions(options: EmitOptions, wallMs: number, headers: ReadonlySet<string>, owner = "emit"): CheckedEmitOptions {
  const { version, artifactUri, entity, sessionId, delayMs, at, timeToLiveMs, properties } = options;
  checkKeys(owner, options, knownKeys);
  if (version !== undefined && !isVersion(version)) refuse(`${owner}.version`, "a version such as '1.0'", version);
  if (delayMs !== undefined && at !== undefined) refuse(owner, "either delayMs or at", "both");
  const scheduledAtMs =
    at !== undefined ? checkAt(owner, at) : delayMs === undefined ? undefined : wallMs + checkNumber(`${owner}.delayMs`, delayMs, delayRange);
  return {
    version: version ?? defaultEmittedVersion,
    artifactUri: artifactUri === undefined ? undefined : checkText(`${owner}.artifactUri`, artifactUri, artifactUriCharactersMax),
    message: {
      ...(entity === undefined ? undefined : { entity: checkText(`${owner}.entity`, entity, entityCharactersMax) }),
      ...(sessionId === undefined ? undefined : { sessionId: checkText(`${owner}.sessionId`, sessionId, sessionIdCharactersMax) }),
      // What is due already need not be scheduled.
      ...(scheduledAtMs === undefined || scheduledAtMs <= wallMs ? undefined : { scheduledAtMs }),
      ...(timeToLiveMs === undefined ? undefined : { timeToLiveMs: checkNumber(`${owner}.timeToLiveMs`, timeToLiveMs, timeToLiveRange) }),
    },
    properties: properties === undefined ? {} : checkProperties(owner, properties, headers),
  };
}
