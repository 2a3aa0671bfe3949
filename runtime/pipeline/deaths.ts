/** Why a run is given up, as its record and its dead letter are to say it. */
import { cleanText, type Death, type DeathCause, fingerprintOf } from "../core/death.ts";
import { readReplayHeader } from "../core/replay-order.ts";
import { lineageOf } from "../core/lineage.ts";
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
    happenedAtMs: Math.ceil(clock.nowMs()),
    reason: redact(reason).slice(0, reasonCharactersMax),
    class: cause.class,
    code: cleanText(code),
    fingerprint: fingerprintOf(cause, work.skillName),
    step: cleanText(step),
    skill: cleanText(work.skillName),
    skillVersion: cleanText(work.skill?.version ?? ""),
    attempt: work.attempt,
    traceId: cleanText(lineageOf(work.delivery, work.headers).traceId),
    generation: work.generation,
    ...(replayId === undefined ? {} : { replayId }),
  };
}
