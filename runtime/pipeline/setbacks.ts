/** What is written of a claim that ends without success. */
import { encodeSetback, type Setback } from "../core/setback.ts";
import { redact } from "../core/redact.ts";
import type { Settlement } from "../core/settlement.ts";
import { handedOverReason } from "../core/undo-order.ts";
import type { FailWrite } from "../ports/run-store.ts";
import type { Work } from "./work.ts";

/** Settlements that end a delivery without success; a retry in place ends nothing. */
export type Failure = Exclude<Settlement, { kind: "retry-now" | "complete" }>;

const reasonCharactersMax = 200;
const descriptionCharactersMax = 300;
const callsMax = 10;
/** Of all dependencies of one execution; what does not fit is left out. */
const answerBytesMax = 16 * 1024;

type Told = Pick<Setback, "kind" | "why" | "description" | "delayMs">;

function told(settlement: Failure): Told {
  switch (settlement.kind) {
    case "retry-later":
      return { kind: "failed", why: settlement.code, description: settlement.description, delayMs: settlement.delayMs };
    case "postpone":
      return { kind: "postponed", why: waitsFor(settlement), description: "", delayMs: settlement.delayMs };
    case "dead-letter":
    case "hand-over":
      return { kind: "given-up", why: settlement.reason, description: settlement.description, delayMs: 0 };
    case "release":
      return { kind: "returned", why: "", description: "", delayMs: 0 };
    case "drop":
      return { kind: "dropped", why: "", description: "", delayMs: 0 };
  }
}

/** What the copy waits for that carries it on. */
export function waitsFor(settlement: Extract<Settlement, { kind: "postpone" | "retry-later" }>): string {
  if (settlement.kind === "retry-later") return settlement.code.slice(0, reasonCharactersMax);
  return settlement.dependency === undefined ? settlement.why : `${settlement.why} ${settlement.dependency}`;
}

function setbackOf(
  { attempt, hasFailed, lossesHere, waitedMs, waitedFor, renewals, calls, failedCalls = calls }: Work,
  settlement: Failure,
  worker: string,
): string {
  const { kind, why, description, delayMs } = told(settlement);
  return encodeSetback({
    kind,
    why: why.slice(0, reasonCharactersMax),
    description: redact(description, descriptionCharactersMax),
    attempt,
    ...(hasFailed || lossesHere > 0 ? { counts: true } : {}),
    delayMs,
    worker,
    waitedMs: Math.round(waitedMs),
    waitedFor: waitedMs > 0 ? waitedFor : "",
    renewals,
    calls: calls.slice(0, callsMax).map(({ dependency, result }) => `${dependency} ${result}`),
    ...(kind === "given-up" ? answersOf(failedCalls) : {}),
  });
}

/** Kept where nobody tries again: whoever goes through the run later asks nobody. */
function answersOf(calls: Work["calls"]): Pick<Setback, "answers"> {
  const answers = new Map<string, string>();
  let left = answerBytesMax;
  for (const { dependency, answers: bytes } of calls) {
    if (bytes === undefined || bytes.byteLength > left) continue;
    left -= bytes.byteLength;
    answers.set(dependency, Buffer.from(bytes).toString("base64"));
  }
  return answers.size === 0 ? {} : { answers: Object.fromEntries(answers) };
}

/** `worker`: who had claimed it. */
export function failWrite(work: Work, settlement: Failure, worker: string): FailWrite {
  const { eventId, epoch } = work;
  const losses = work.lossesHere;
  // A run that failed and was to be retried in place has been tried, whatever keeps it from that retry.
  const failures = work.hasFailed ? 1 : 0;
  const setback = setbackOf(work, settlement, worker);
  switch (settlement.kind) {
    case "retry-later":
      return { eventId, epoch, state: "waiting", reason: settlement.code, failures: 1, losses, setback };
    case "postpone":
      return { eventId, epoch, state: "waiting", reason: settlement.why, failures, losses, setback };
    case "dead-letter":
      return {
        eventId,
        epoch,
        state: settlement.state,
        reason: settlement.reason.slice(0, reasonCharactersMax),
        failures: 1,
        losses,
        death: work.death,
        setback,
      };
    case "hand-over":
      return { eventId, epoch, state: "waiting", reason: handedOverReason, failures, losses, setback };
    case "release":
    case "drop":
      return { eventId, epoch, state: "waiting", reason: settlement.kind, failures, losses, setback };
  }
}
