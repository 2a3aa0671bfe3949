/** The message of a run that is made of another one: the same event under an id of its own. */
import { livingHeaders, originHeader, triesHeaders } from "../core/copy.ts";
import type { Delivery, HeaderValue } from "../core/delivery.ts";
import { ConfigurationError } from "../core/errors.ts";
import type { Routed } from "../core/read-route.ts";
import { replayHeader } from "../core/replay-order.ts";
import type { RunView, StepRecord } from "../core/run.ts";
import { compensationsOf, isOwnRecord, verdictOf } from "../core/compensation.ts";
import { undoHeader } from "../core/undo-order.ts";
import { didYouMean } from "../core/near-name.ts";
import { patchPayload } from "./patch-payload.ts";
import { deliveryOf } from "./runs-message.ts";

const ofTheParent = [originHeader, ...triesHeaders, replayHeader, undoHeader];
/** Where each form keeps the event's id in the body. */
const idNames: ReadonlyMap<string, string> = new Map([
  ["canonical", "eventId"],
  ["snake", "event_id"],
  ["cloudevents-structured", "id"],
  ["event-grid", "id"],
]);
/** Where properties repeat it. */
const idHeaders = ["eventId", "event_id", "cloudEvents:id", "ce-id"];

function renamed(body: unknown, member: string, eventId: string): unknown {
  if (Array.isArray(body)) return body.map((item) => renamed(item, member, eventId));
  return typeof body === "object" && body !== null ? { ...body, [member]: eventId } : body;
}

/** Throws `ConfigurationError` for a message whose id cannot be changed without guessing. */
export function forkedMessage(parent: Delivery, routed: Routed, eventId: string, patch: unknown): Delivery {
  const { form, codec } = routed.route;
  const member = idNames.get(form);
  if (member === undefined || codec !== "json" || routed.contentEncoding !== undefined)
    throw new ConfigurationError(
      `expected a plain JSON body that holds the event's id, found ${routed.contentEncoding ?? form}; send the event under a new id instead`,
    );
  const patched = patch === undefined ? parent.body : patchPayload(parent, routed, patch);
  const body = renamed(JSON.parse(Buffer.from(patched).toString("utf8")) as unknown, member, eventId);
  const headers: Record<string, HeaderValue> = livingHeaders(parent);
  for (const name of ofTheParent) delete headers[name];
  for (const name of idHeaders) if (Object.hasOwn(headers, name)) headers[name] = eventId;
  return deliveryOf({ messageId: eventId, body: Buffer.from(JSON.stringify(body)), contentType: parent.contentType, headers });
}

/** The steps up to this one, as they were recorded. Throws `ConfigurationError` for one that is not completed. */
export function stepsUpTo(steps: readonly StepRecord[], name: string): readonly StepRecord[] {
  const own = steps.filter((step) => !isOwnRecord(step) && step.state === "completed");
  const at = own.findIndex((step) => step.name === name);
  if (at === -1) {
    const known = own.map((step) => step.name);
    throw new ConfigurationError(`--step: expected a step that the run has completed (${known.join(", ") || "none"}), got '${name}'${didYouMean(name, known)}`);
  }
  return own.slice(0, at + 1);
}

/** The first of these steps of a run whose effect was undone, or is to be: a fork would go on as if it stood. */
export function undoneOf({ state, steps: all }: Pick<RunView, "state" | "steps">, steps: readonly StepRecord[]): string | undefined {
  const compensations = compensationsOf(all);
  const isBeingUndone = verdictOf(all) !== undefined && (state === "running" || state === "waiting");
  const undone = steps.find(({ name }) => {
    const compensation = compensations.get(name);
    return compensation === undefined ? isBeingUndone : compensation.state !== "compensated" || compensation.wasNeeded;
  });
  return undone?.name;
}
