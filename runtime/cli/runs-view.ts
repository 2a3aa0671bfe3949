/** A run as the commands show it. */
import { counted } from "../core/counted.ts";
import { isOwnRecord } from "../core/compensation.ts";
import type { HistoryEntry } from "../core/history.ts";
import { decodeOutbox } from "../core/outbox.ts";
import { redactValue } from "../core/redact.ts";
import type { RunKind, RunView, StepRecord } from "../core/run.ts";
import { holderOf, progressOf, progressText, skillOf } from "../recovery/runs-progress.ts";
import { decodeStep, isWithdrawn } from "../skills/host/step-codec.ts";
import { time } from "./dlq-letters.ts";

export type Plain = Readonly<Record<string, unknown>>;

/** All that a record says, without values that hold nothing. */
export function plainRun(view: RunView, kind: RunKind | undefined, showsResults = false): Plain {
  const { state, reason, epoch, failures, losses, generation, restarts, claim, history, writtenAgoMs } = view;
  const nowMs = Date.now();
  const progress = progressOf(view, kind);
  return without({
    skill: skillOf(view, kind),
    skillVersion: kind?.skillVersion,
    eventType: kind?.eventType,
    state,
    reason,
    progress: progressText(progress),
    generation,
    restarts,
    epoch,
    failures,
    losses,
    isCancelling: view.isCancelling ? true : undefined,
    holder: claim && holderOf(claim.token),
    leaseUntil: claim && `${time(nowMs + claim.leftMs)}${claim.leftMs > 0 ? "" : " (over)"}`,
    written: time(nowMs - writtenAgoMs),
    steps: progress.steps.map((step) => plainStep(step, showsResults)),
    ahead: progress.ahead.length === 0 ? undefined : progress.ahead,
    failedForGood: progress.verdict && without({ reason: progress.verdict.reason, description: progress.verdict.description }),
    compensations: progress.compensations.size === 0 ? undefined : [...progress.compensations].map(([step, compensation]) => ({ step, ...compensation })),
    outbox: view.outbox.length === 0 ? undefined : plainOutbox(view.outbox),
    history: history.map(plainEntry),
  });
}

function without(fields: Plain): Plain {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== ""));
}

export function plainEntry(entry: HistoryEntry): Plain {
  if (entry.kind === "died") {
    const { atMs, happenedAtMs = atMs, kind, ...rest } = entry;
    return { at: time(happenedAtMs), atTheLatest: time(atMs), kind, ...rest };
  }
  const { atMs, kind, ...rest } = entry;
  return { at: time(atMs), kind, ...rest };
}

/** An intent that was taken back says that nothing happened. */
export function stepState(step: StepRecord): "completed" | "in doubt" | "not done" | "begun" {
  if (step.state === "completed") return "completed";
  if (isWithdrawn(step)) return "not done";
  return step.kind === "atMostOnce" ? "in doubt" : "begun";
}

/** The step of which nobody knows whether its effect, which may happen once at most, has happened; undefined where there is none. */
export function stepInDoubt(steps: readonly StepRecord[]): string | undefined {
  return steps.find((step) => !isOwnRecord(step) && step.state === "intent" && stepState(step) === "in doubt")?.name;
}

function plainStep(step: StepRecord, showsResults: boolean): Plain {
  const { name, kind, atMs, result, state } = step;
  const decoded = state === "completed" ? decodeStep(step) : undefined;
  const isUnreadable = state === "completed" && decoded === undefined;
  return without({
    name,
    state: isUnreadable ? "unreadable" : stepState(step),
    kind,
    at: time(atMs),
    bytes: result.length,
    quality: decoded?.quality,
    emitted: decoded === undefined || decoded.emitted.length === 0 ? undefined : decoded.emitted.length,
    result: showsResults && decoded !== undefined ? redactValue(jsonOf(decoded.result)) : undefined,
  });
}

/** What a step has left, as JSON can show it. */
function jsonOf(result: unknown): unknown {
  const shown = JSON.stringify(result, (_name, value: unknown) => {
    if (typeof value === "bigint") return value.toString();
    if (value instanceof Map) return Object.fromEntries(value);
    if (value instanceof Set) return [...value];
    return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
  });
  return shown === undefined ? null : (JSON.parse(shown) as unknown);
}

function plainOutbox(outbox: Uint8Array): unknown {
  try {
    return decodeOutbox(outbox).map(({ messageId, headers, body }) => ({ messageId, eventType: headers["eventType"], bytes: body.byteLength }));
  } catch {
    return `${counted(outbox.length, "byte")} that cannot be read`;
  }
}
