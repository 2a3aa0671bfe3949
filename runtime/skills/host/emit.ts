// Makes the messages that a run emits.
import type { OutgoingMessage } from "../../core/delivery.ts";
import { type EventEnvelope, isEventType } from "../../core/event-envelope.ts";
import { eventMessage } from "../../core/event-message.ts";
import type { StepQuality } from "../../core/run.ts";
import { traceparentHeader } from "../../core/trace-context.ts";
import { refuse } from "../author/check-options.ts";
import type { EmitOptions } from "../author/context.ts";
import { type Skill, defaultEmittedVersion } from "../author/define-skill.ts";
import { checkEmitOptions } from "./emit-options.ts";
import type { EventContracts } from "./event-contracts.ts";
import { checkJson } from "./json-value.ts";
import type { PreparedSkill } from "./prepared-skill.ts";
import type { RunHost } from "./run-host.ts";
import type { ThreadOrder } from "./run-order.ts";

/** Events one run may emit. */
export const emittedMax = 1_000;

/** Largest emitted event, in bytes: what a standard namespace takes, less its headers. */
export const emittedBytesMax: number = 192 * 1024;

/** Headers of which each belongs to an event's envelope. */
export const reservedHeaders: ReadonlySet<string> = new Set([
  "eventId",
  "eventType",
  "version",
  "traceId",
  "correlationId",
  "projectId",
  "originatingAgent",
  "tenantId",
  "causationId",
  "quality",
]);

/** Whose event causes it, and who says so. */
export interface Emitter {
  readonly cause: EventEnvelope;
  readonly agent: string;
  /** The new event's id: the same whenever the same emission of the same run is executed. */
  readonly eventId: string;
  readonly wallMs: number;
  /** Of the steps that the event comes from; written beside the envelope's fields, and as a header, unless it is `full`. */
  readonly quality: StepQuality;
  /** What its message says of its trace; undefined when nothing is traced. */
  readonly traceparent: string | undefined;
  /** Undefined where the worker has none. */
  readonly contracts: EventContracts | undefined;
  /** What its skill says that it emits. */
  readonly emits: Skill["emits"];
}

/** What all events of a run have in common. */
export function emitterOf(
  {
    event,
    host,
    order,
  }: { readonly event: EventEnvelope; readonly host: Pick<RunHost<never>, "agent" | "wallMs" | "contracts">; readonly order: Pick<ThreadOrder, "skill"> },
  { skill }: Pick<PreparedSkill, "skill">,
): Pick<Emitter, "cause" | "agent" | "wallMs" | "contracts" | "emits"> {
  return { cause: event, agent: host.agent ?? order.skill, wallMs: host.wallMs(), contracts: host.contracts, emits: skill.emits };
}

/** One emitted event as a message: the canonical envelope as JSON, and beside it the headers that routing reads. */
export function makeEmission(
  { cause, agent, eventId, wallMs, quality, traceparent, contracts, emits }: Emitter,
  eventType: string,
  payload: unknown,
  options: EmitOptions | undefined,
): OutgoingMessage {
  if (!isEventType(eventType)) refuse("emit", "an event type of 1 to 128 characters of A-Z a-z 0-9 . _ ~ : / -", eventType);
  const given = options === undefined ? undefined : checkEmitOptions(options, wallMs, reservedHeaders);
  const { version, artifactUri } = given ?? { version: defaultEmittedVersion };
  if (emits?.some((one) => one.eventType === eventType && one.version === version) === false)
    refuse(
      "emit",
      `an event that the skill names in emits (${emits.map((one) => `${one.eventType} ${one.version}`).join(", ") || "none"})`,
      `${eventType} ${version}`,
    );
  checkJson("emit: payload", payload);
  contracts?.checkEmitted(eventType, version, payload);
  const event: EventEnvelope = {
    eventId,
    eventType,
    traceId: cause.traceId,
    correlationId: cause.correlationId,
    projectId: cause.projectId,
    ...(cause.tenantId === undefined ? undefined : { tenantId: cause.tenantId }),
    originatingAgent: agent,
    version,
    timestamp: new Date(wallMs).toISOString(),
    causationId: cause.eventId,
    ...(artifactUri === undefined ? undefined : { artifactUri }),
    payload,
  };
  const trace = traceparent === undefined ? undefined : { [traceparentHeader]: traceparent };
  const label = quality === "full" ? undefined : { quality };
  const message = eventMessage(event, { message: given?.message, properties: given?.properties, label, headers: trace });
  if (message.body.byteLength > emittedBytesMax) refuse("emit", `an event of at most ${emittedBytesMax} bytes`, message.body.byteLength);
  return message;
}
