/** What an event belongs to, as its message says it: for reports about the event, without decoding its payload. */
import type { Delivery, HeaderValue } from "./delivery.ts";
import { JsonMembers } from "./json-scan.ts";
import { beginsLikeMsgpackMap, findMsgpackFault, unpackMsgpack, walkMsgpack } from "./msgpack-scan.ts";
import { type JoinedTrace, joinTrace, readTraceparent, traceparentHeader as traceparent, traceparentOf } from "./trace-context.ts";
import { canonicalNames, cloudEventsNames, cloudEventsPrefixes, type FieldNames, snakeNames } from "./wire-forms.ts";

/** Texts are empty where the message does not say. */
export interface Lineage {
  readonly traceId: string;
  readonly correlationId: string;
  readonly projectId: string;
  readonly tenantId: string;
}

const parts = ["traceId", "correlationId", "projectId", "tenantId"] as const;
type Part = (typeof parts)[number];

/** Of a larger body only the application properties are read. */
const bodyBytesMax = 256 * 1024;
const depthMax = 64;
/** Longer values are no ids. */
const textMax = 256;

const forms: readonly FieldNames[] = [canonicalNames, snakeNames, cloudEventsNames];
const propertyNames: Readonly<Record<Part, readonly string[]>> = {
  traceId: propertiesOf("traceId"),
  correlationId: propertiesOf("correlationId"),
  projectId: propertiesOf("projectId"),
  tenantId: propertiesOf("tenantId"),
};
const bodyKeys: ReadonlySet<string> = new Set([...forms.flatMap((names) => parts.map((part) => names[part])), traceparent]);
const keyBytesMax = Math.max(...Array.from(bodyKeys, (key) => key.length));

function propertiesOf(part: Part): readonly string[] {
  return [canonicalNames[part], snakeNames[part], ...cloudEventsPrefixes.map((prefix) => `${prefix}${cloudEventsNames[part]}`)];
}

function textOf(value: unknown): string {
  return typeof value === "string" && value.length <= textMax ? value : "";
}

function propertyOf(delivery: Delivery, read: Readonly<Record<string, HeaderValue>> | undefined, part: Part): string {
  const known = textOf(read?.[part]);
  if (known !== "") return known;
  for (const name of propertyNames[part]) {
    const text = textOf(delivery.header(name));
    if (text !== "") return text;
  }
  return "";
}

function traceOfContext(value: unknown): string {
  return readTraceparent(value)?.traceId ?? "";
}

function traceOfProperties(delivery: Delivery): string {
  for (const prefix of cloudEventsPrefixes) {
    const trace = traceOfContext(delivery.header(`${prefix}${traceparent}`));
    if (trace !== "") return trace;
  }
  return "";
}

/** The wanted texts at the top of a body, under the names that they have there. One that is broken off tells what it holds before that. */
function textsIn(body: Uint8Array): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const member = (keyStart: number, keyEnd: number, value: () => unknown): void => {
    if (keyEnd - keyStart > keyBytesMax) return;
    const key = Buffer.from(body.buffer, body.byteOffset + keyStart, keyEnd - keyStart).toString("latin1");
    if (bodyKeys.has(key) && !found.has(key)) found.set(key, textOf(value()));
  };
  if (beginsLikeMsgpackMap(body)) {
    walkMsgpack(body, depthMax, (keyStart, keyEnd, valueStart, valueEnd) => {
      member(keyStart, keyEnd, () => {
        const value = body.subarray(valueStart, valueEnd);
        return value.byteLength > textMax * 4 || findMsgpackFault(value, depthMax) !== undefined ? undefined : unpackMsgpack(value);
      });
      return false;
    });
    return found;
  }
  const members = new JsonMembers().open(body, depthMax);
  while (members.next()) {
    const { valueStart, valueEnd } = members;
    const value = (): unknown =>
      valueEnd - valueStart > textMax * 6 ? undefined : JSON.parse(Buffer.from(body.subarray(valueStart, valueEnd)).toString("utf8"));
    member(members.keyStart, members.keyEnd, value);
  }
  return found;
}

const nothing: Lineage = { traceId: "", correlationId: "", projectId: "", tenantId: "" };

function read(delivery: Delivery, headers: Readonly<Record<string, HeaderValue>> | undefined): Lineage {
  const said: Lineage = {
    traceId: propertyOf(delivery, headers, "traceId") || traceOfProperties(delivery),
    correlationId: propertyOf(delivery, headers, "correlationId"),
    projectId: propertyOf(delivery, headers, "projectId"),
    tenantId: propertyOf(delivery, headers, "tenantId"),
  };
  const isWhole = said.traceId !== "" && said.correlationId !== "" && said.projectId !== "";
  if (isWhole || delivery.body.byteLength > bodyBytesMax) return said;
  const texts = textsIn(delivery.body);
  const inBody = (part: Part): string => said[part] || (forms.map((names) => texts.get(names[part]) ?? "").find((text) => text !== "") ?? "");
  return {
    traceId: inBody("traceId") || traceOfContext(texts.get(traceparent)),
    correlationId: inBody("correlationId"),
    projectId: inBody("projectId"),
    tenantId: inBody("tenantId"),
  };
}

/** `headers`: what was read of the message for its thread. A message that cannot be read at all says nothing. Never throws. */
export function lineageOf(delivery: Delivery, headers?: Readonly<Record<string, HeaderValue>>): Lineage {
  try {
    return read(delivery, headers);
  } catch {
    return nothing;
  }
}

/** What says which trace a message belongs to. */
export interface MessageOfTrace {
  readonly delivery: Delivery;
  readonly headers: Readonly<Record<string, HeaderValue>> | undefined;
  readonly eventId: string;
}

/** Which trace a message belongs to, as itself says it; one that says nothing goes by the id of its event. */
export function traceOfMessage({ delivery, headers, eventId }: MessageOfTrace): JoinedTrace {
  return joinTrace(lineageOf(delivery, headers).traceId || eventId, readTraceparent(traceparentOf(delivery, headers)));
}
