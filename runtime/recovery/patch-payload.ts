/** Edits the payload inside a message, and leaves its envelope alone. */
import type { Delivery } from "../core/delivery.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import type { Routed } from "../core/read-route.ts";
import { snakeNames } from "../core/wire-forms.ts";

type JsonObject = { [key: string]: unknown };

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** RFC 7396: objects are merged, null takes a member away, anything else replaces what was there. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

function parsed(delivery: Delivery): unknown {
  try {
    return JSON.parse(Buffer.from(delivery.body).toString("utf8")) as unknown;
  } catch (error) {
    throw new ConfigurationError(`expected a JSON body to patch, found one that cannot be parsed: ${messageOf(error, 200)}`);
  }
}

/** The payload is a member of the envelope, which may be the one item of a list. */
function patchMember(body: unknown, member: string, patch: unknown): unknown {
  if (Array.isArray(body)) return body.map((item) => patchMember(item, member, patch));
  return isObject(body) ? { ...body, [member]: mergePatch(body[member], patch) } : body;
}

/** The payload is all members that the envelope does not know. */
function patchBeside(body: unknown, patch: unknown): unknown {
  if (!isObject(body)) return body;
  const ofEnvelope = new Set<string>(Object.values(snakeNames));
  const split = (isEnvelope: boolean): JsonObject => Object.fromEntries(Object.entries(body).filter(([name]) => ofEnvelope.has(name) === isEnvelope));
  const payload = mergePatch(split(false), patch);
  const clashing = isObject(payload) ? Object.keys(payload).filter((name) => ofEnvelope.has(name)) : [];
  if (!isObject(payload) || clashing.length > 0)
    throw new ConfigurationError(
      `expected a patch that leaves a payload without fields of the envelope, found ${clashing.join(", ") || "no object"}; correct it`,
    );
  return { ...split(true), ...payload };
}

/** The body with its payload patched. Throws `ConfigurationError` for a message that cannot be edited without guessing. */
export function patchPayload(delivery: Delivery, { route, contentEncoding }: Routed, patch: unknown): Uint8Array {
  if (contentEncoding !== undefined || route.codec !== "json")
    throw new ConfigurationError(
      `expected a plain JSON body to patch, found ${contentEncoding ?? route.codec}; send the event again with its new payload instead`,
    );
  const body = parsed(delivery);
  switch (route.form) {
    case "canonical":
      return encoded(patchMember(body, "payload", patch));
    case "cloudevents-structured":
    case "event-grid":
      return encoded(patchMember(body, "data", patch));
    case "snake":
      return encoded(patchBeside(body, patch));
    case "cloudevents-binary":
      return encoded(mergePatch(body, patch));
    case "hooked":
      throw new ConfigurationError(
        "expected a form whose payload is known, found one that an envelope hook reads; send the event again with its new payload instead",
      );
  }
}

function encoded(body: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(body));
}
