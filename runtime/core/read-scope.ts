/**
 * Reads whose event a message is, tenant or project, without decoding its body: for limits that count by them, and only there. An
 * application property is believed; else the body's top level is looked at. What cannot be seen (a compressed body, bytes) names nobody.
 */
import type { Delivery, HeaderValue } from "./delivery.ts";
import type { Route } from "./event-envelope.ts";
import { jsonValueOf } from "./json-scan.ts";
import { unpackMsgpack, walkMsgpack } from "./msgpack-scan.ts";
import { type FieldNames, canonicalNames, cloudEventsNames, cloudEventsPrefixes, snakeNames } from "./wire-forms.ts";

/** What a limit may count by. */
export type ScopeField = "tenantId" | "projectId";

/** A message that was routed. */
export interface ScopedMessage {
  readonly delivery: Delivery;
  readonly route: Route;
  readonly contentEncoding: string | undefined;
  /** What a hook read. */
  readonly headers: Readonly<Record<string, HeaderValue>> | undefined;
}

const depthMax = 64;
const textMax = 256;

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" && value.length <= textMax ? value : undefined;
}

function namesOf({ form }: Route): FieldNames {
  if (form === "snake") return snakeNames;
  return form === "cloudevents-structured" || form === "cloudevents-binary" ? cloudEventsNames : canonicalNames;
}

function inProperties({ delivery, route, headers }: ScopedMessage, field: ScopeField, name: string): string | undefined {
  if (route.form === "hooked") return textOf(headers?.[field]);
  if (route.form !== "cloudevents-binary") return textOf(delivery.header(field)) ?? textOf(delivery.header(name));
  for (const prefix of cloudEventsPrefixes) {
    const value = textOf(delivery.header(`${prefix}${name}`));
    if (value !== undefined) return value;
  }
  return undefined;
}

function inJson(body: Uint8Array, name: string): string | undefined {
  const bytes = jsonValueOf(body, name, depthMax);
  if (bytes === undefined || bytes.length > textMax * 6) return undefined;
  try {
    return textOf(JSON.parse(Buffer.from(bytes).toString("utf8")));
  } catch {
    return undefined;
  }
}

function inMsgpack(body: Uint8Array, name: string): string | undefined {
  let found: string | undefined;
  walkMsgpack(body, depthMax, (keyStart, keyEnd, valueStart, valueEnd) => {
    if (Buffer.from(body.subarray(keyStart, keyEnd)).toString("utf8") !== name) return false;
    // Text of so many characters, and nothing that would take long.
    if (valueEnd - valueStart <= textMax * 4) found = textOf(unpackMsgpack(body.subarray(valueStart, valueEnd)));
    return true;
  });
  return found;
}

/** Whose it is; undefined when it does not say. Never throws on what a sender can send. */
export function readScope(message: ScopedMessage, field: ScopeField): string | undefined {
  const { route, delivery, contentEncoding } = message;
  const name = namesOf(route)[field];
  const told = inProperties(message, field, name);
  if (told !== undefined || contentEncoding !== undefined || route.form === "hooked" || route.form === "cloudevents-binary") return told;
  switch (route.codec) {
    case "json":
      return inJson(delivery.body, name);
    case "msgpack":
      return inMsgpack(delivery.body, name);
    case "bytes":
      return undefined;
  }
}
