/** Why a run is given up, as its record and its dead letter are to say it. */
import { cleanText, type Death, type DeathCause, fingerprintOf } from "../core/death.ts";
import type { Delivery } from "../core/delivery.ts";
import { readReplayHeader } from "../core/replay-order.ts";
import { redact } from "../core/redact.ts";
import type { BrokerClock } from "../policy/broker-clock.ts";
import type { Work } from "./work.ts";

/** What is said of a message that is given up. */
export interface GivenUp {
  readonly reason: string;
  readonly description: string;
  readonly cause?: DeathCause | undefined;
}

/** Service Bus's own word for it. */
export const expiredReason = "TTLExpiredException";

const reasonCharactersMax = 200;
/** Of a body that no application property speaks for, this much is looked at. */
const lookBytesMax = 4_096;
const traceHeaders = ["traceId", "trace_id", "cloudEvents:traceid", "cloudEvents_traceid", "ce-traceid"];
const traceInBody = /"(?:traceId|trace_id|traceid)"\s{0,8}:\s{0,8}"([^"\\]{1,256})"/;

/** As the message says it; empty when it does not. */
function traceIdOf(delivery: Delivery): string {
  for (const name of traceHeaders) {
    const value = delivery.header(name);
    if (typeof value === "string" && value !== "") return value;
  }
  const { body } = delivery;
  const head = Buffer.from(body.buffer, body.byteOffset, Math.min(lookBytesMax, body.byteLength)).toString("latin1");
  return traceInBody.exec(head)?.[1] ?? "";
}

/** A message that cannot be read at all has no trace. */
function traceIdIfReadable(delivery: Delivery): string {
  try {
    return traceIdOf(delivery);
  } catch {
    return "";
  }
}

/** Without a cause the message is at fault. */
export function deathOf(
  work: Work,
  { reason, description, cause = { class: "poison", code: reason, message: description } }: GivenUp,
  clock: BrokerClock,
): Death {
  const replayId = readReplayHeader(work.delivery)?.id;
  const { code, step = "" } = cause;
  return {
    atMs: Math.ceil(clock.latestMs()),
    reason: redact(reason).slice(0, reasonCharactersMax),
    class: cause.class,
    code: cleanText(code),
    fingerprint: fingerprintOf(cause, work.skillName),
    step: cleanText(step),
    skill: cleanText(work.skillName),
    skillVersion: cleanText(work.skill?.version ?? ""),
    attempt: work.attempt,
    traceId: cleanText(traceIdIfReadable(work.delivery)),
    generation: work.generation,
    ...(replayId === undefined ? {} : { replayId }),
  };
}
