/** The promise, held against what the ledger, the dead letters and the run records say of each event. */
import type { RunView } from "#runtime/core/run.ts";
import type { EffectCall } from "./effect-ledger.ts";
import { type Kind, kinds, mistakenReason, sagaCode } from "./plugin.ts";

export interface SentEvent {
  readonly eventId: string;
  readonly kind: Kind;
  /** Reasons it may be dead-lettered for besides; a hostile one, for instance, as `CrashLoop`. */
  readonly orEnds?: readonly string[];
}

export interface Evidence {
  readonly events: readonly SentEvent[];
  readonly calls: readonly EffectCall[];
  /** Reasons of the dead letters of each event. */
  readonly deadLetters: ReadonlyMap<string, readonly string[]>;
  readonly records: ReadonlyMap<string, RunView>;
  /** The store lost records on purpose: then nothing is held against a record that is not there. */
  readonly wereRecordsLost: boolean;
  /** Whether the store's times can be held against the ledger's. */
  readonly areTimesComparable: boolean;
}

export interface Verdict {
  readonly violations: readonly string[];
  readonly completed: number;
  /** Dead-lettered as `OutcomeUnknown`. */
  readonly parked: number;
  /** Calls beyond the first under a key. */
  readonly repeatedCalls: number;
}

const parkedReason = "OutcomeUnknown";
/** What fails for good, always, and as what. */
const failing: Partial<Record<Kind, string>> = { Saga: sagaCode, Mistaken: mistakenReason };
const shown = 5;

/** Collects violations of one sort, and tells the first of them. */
class Violations {
  readonly #found = new Map<string, string[]>();

  add(what: string, where: string): void {
    const known = this.#found.get(what);
    if (known === undefined) this.#found.set(what, [where]);
    else known.push(where);
  }

  list(): string[] {
    return [...this.#found].map(([what, where]) => `${where.length} times: ${what} (${where.slice(0, shown).join(", ")})`);
  }
}

/** In the order of their first calls. */
function stepsOf(calls: readonly EffectCall[], isUndoing: boolean): readonly string[] {
  return [...new Set(calls.filter((call) => call.isUndoing === isUndoing).map(({ step }) => step))];
}

function judgeCalls(event: SentEvent, calls: readonly EffectCall[], { wereRecordsLost }: Evidence, found: Violations): void {
  const groups = Map.groupBy(calls, ({ step, isUndoing }) => `${isUndoing ? "undo " : ""}${step}`);
  for (const [name, ofStep] of groups) {
    const where = `${event.eventId} ${name}`;
    if (new Set(ofStep.map(({ key }) => key)).size > 1) found.add("a step was called for under several keys", where);
    const isOnce = name === "pay" && (event.kind === "AtMostOnce" || event.kind === "Queryable");
    if (isOnce && ofStep.length > 1) found.add(`the effect of a step of the kind ${event.kind} began more than once`, where);
    // Epochs start over with a record.
    if (wereRecordsLost) continue;
    let highest = 0;
    for (const { epoch } of ofStep) {
      if (epoch < highest) found.add("a call arrived under a claim that had been taken over", where);
      highest = Math.max(highest, epoch);
    }
  }
}

/** Calls for a step whose checkpoint had been written. */
function judgeRepeats(event: SentEvent, calls: readonly EffectCall[], record: RunView | undefined, found: Violations): void {
  for (const { name, state, atMs } of record?.steps ?? []) {
    if (state !== "completed") continue;
    if (calls.some((call) => call.step === name && !call.isUndoing && call.atMs > atMs))
      found.add("a step was called for after its checkpoint", `${event.eventId} ${name}`);
  }
}

function judgeSaga(event: SentEvent, calls: readonly EffectCall[], found: Violations): void {
  const committed = stepsOf(calls, false);
  const undone = stepsOf(calls, true);
  if (undone.join() !== committed.toReversed().join())
    found.add("compensations were not the reverse of what was committed", `${event.eventId}: did ${committed.join()}, undid ${undone.join() || "nothing"}`);
}

function judgeEnd(event: SentEvent, calls: readonly EffectCall[], evidence: Evidence, found: Violations): "completed" | "parked" | "dead" | "open" {
  const { eventId, kind, orEnds = [] } = event;
  const reasons = [...new Set(evidence.deadLetters.get(eventId) ?? [])];
  const record = evidence.records.get(eventId);
  if (reasons.length > 0) {
    const allowed = [...orEnds, ...[failing[kind] ?? []].flat(), ...(kind === "AtMostOnce" ? [parkedReason] : [])];
    for (const reason of reasons) if (!allowed.includes(reason)) found.add(`an event of the kind ${kind} was dead-lettered as ${reason}`, eventId);
    if (record?.state === "done") found.add("an event was completed and dead-lettered", eventId);
    return reasons.includes(parkedReason) ? "parked" : "dead";
  }
  // A record of before the end, or none, says nothing where records were lost: the effects must stand all the same.
  const isDone = record?.state === "done" || evidence.wereRecordsLost;
  if (!isDone) {
    found.add("an event ended neither completed nor dead-lettered", `${eventId}: record ${record?.state ?? "none"}`);
    return "open";
  }
  if (failing[kind] !== undefined) found.add("an event that fails for good was completed", eventId);
  const missing = kinds[kind].filter((step) => !calls.some((call) => call.step === step && !call.isUndoing));
  if (missing.length > 0) found.add("an event was completed without an effect", `${eventId}: ${missing.join()}`);
  return "completed";
}

export function judge(evidence: Evidence): Verdict {
  const found = new Violations();
  const byEvent = Map.groupBy(evidence.calls, ({ eventId }) => eventId);
  const ends = { completed: 0, parked: 0, dead: 0, open: 0 };
  for (const event of evidence.events) {
    const calls = byEvent.get(event.eventId) ?? [];
    const end = judgeEnd(event, calls, evidence, found);
    ends[end] += 1;
    judgeCalls(event, calls, evidence, found);
    if (evidence.areTimesComparable) judgeRepeats(event, calls, evidence.records.get(event.eventId), found);
    if (event.kind === "Saga" && end === "dead") judgeSaga(event, calls, found);
  }
  const known = new Set(evidence.events.map(({ eventId }) => eventId));
  for (const eventId of byEvent.keys()) if (!known.has(eventId)) found.add("an effect stands for an event that nobody sent", eventId);
  const keys = new Set(evidence.calls.map(({ key }) => key));
  return { violations: found.list(), completed: ends.completed, parked: ends.parked, repeatedCalls: evidence.calls.length - keys.size };
}
