/**
 * One event's whole story, of all that is known of it: what its record keeps, what lies in the queues, and what workers have logged.
 * Each source has a clock of its own; their times are put in order as they are.
 */
import { counted } from "../core/counted.ts";
import { type HistoryEntry, happenedMs } from "../core/history.ts";
import { type Compensation, compensatedStepOf } from "../core/compensation.ts";
import type { RunKind, RunView, StepRecord } from "../core/run.ts";
import type { Setback } from "../core/setback.ts";
import type { Letter } from "./letters.ts";
import type { Findings, FoundMessage } from "./runs-messages.ts";
import { progressOf, type RunProgress } from "./runs-progress.ts";
import { standingOf, type Standing } from "./runs-standing.ts";

export interface Moment {
  readonly atMs: number;
  readonly source: "queue" | "record" | "dead letter" | "log";
  readonly text: string;
}

export interface Story extends Standing {
  readonly moments: readonly Moment[];
}

export interface Sources {
  readonly view: RunView | undefined;
  readonly kind: RunKind | undefined;
  readonly found: Findings;
  readonly logged: readonly Moment[];
  readonly nowMs: number;
  /** As in `standingOf`. */
  readonly inDoubt?: string | undefined;
  /** How a step stands and what it has left, in words. */
  readonly describeStep: (step: StepRecord) => string;
}

export function storyOf(sources: Sources): Story {
  const { view, kind, found, logged } = sources;
  const progress = view && progressOf(view, kind);
  const moments = [
    ...found.messages.flatMap(momentsOfMessage),
    ...(view === undefined || progress === undefined ? [] : momentsOfRecord(sources, view, progress)),
    ...found.letters.map((letter) => momentOfLetter(letter, view?.setbacks ?? [])),
    ...logged,
  ];
  return { moments: moments.toSorted((one, other) => one.atMs - other.atMs), ...standingOf({ ...sources, progress }) };
}

function momentsOfMessage({ queue, seen, firstMs, postponements, waitsFor }: FoundMessage): readonly Moment[] {
  const { delivery, state, scheduledAtMs } = seen;
  const { messageId, sequenceNumber, enqueuedAtMs, attempt } = delivery;
  const place = `message ${messageId}, sequence number ${sequenceNumber} of ${queue}`;
  const why = `${waitsFor === "" ? "" : `, for ${waitsFor}`}${postponements === 0 ? "" : `, postponed ${counted(postponements, "time")}`}`;
  const first: readonly Moment[] = firstMs < enqueuedAtMs ? [{ atMs: firstMs, source: "queue", text: "enqueued for the first time" }] : [];
  if (state === "scheduled") return [...first, { atMs: scheduledAtMs ?? enqueuedAtMs, source: "queue", text: `due: ${place}${why}` }];
  const tries = attempt > 1 ? `, delivered ${counted(attempt - 1, "time")} before` : "";
  return [...first, { atMs: enqueuedAtMs, source: "queue", text: `${state === "deferred" ? "deferred" : "enqueued"}: ${place}${why}${tries}` }];
}

/** It was decided just before its setback was recorded, by another clock: it is told after that. */
function givenUpMs({ atMs, latestMs, attempt }: Pick<Letter, "atMs" | "latestMs" | "attempt">, setbacks: readonly Setback[]): number {
  const setback = setbacks.findLast((one) => one.kind === "given-up" && one.attempt === attempt && one.atMs <= latestMs);
  return Math.max(atMs, setback?.atMs ?? atMs);
}

function momentOfLetter(letter: Letter, setbacks: readonly Setback[]): Moment {
  const { box, sequenceNumber, reason, description, attempt, step } = letter;
  const atMs = givenUpMs(letter, setbacks);
  const details = [attempt > 0 ? `attempt ${attempt}` : "", step === "" ? "" : `step ${step}`, `sequence number ${sequenceNumber} of ${box.name}`];
  return { atMs, source: "dead letter", text: `dead-lettered as ${reason} (${details.filter((text) => text !== "").join("; ")}): ${description}` };
}

function momentsOfRecord({ describeStep, nowMs }: Sources, view: RunView, progress: RunProgress): readonly Moment[] {
  const moments: Moment[] = [];
  const add = (atMs: number, text: string): void => void moments.push({ atMs, source: "record", text });
  for (const step of progress.steps) add(step.atMs, `step ${step.name}: ${describeStep(step)}`);
  for (const record of view.steps) {
    const undone = compensatedStepOf(record);
    const compensation = undone === undefined ? undefined : progress.compensations.get(undone);
    if (compensation !== undefined) add(record.atMs, `compensation of ${undone}: ${compensationText(compensation)}`);
  }
  if (progress.verdict !== undefined) add(progress.failedAtMs, `failed for good as ${progress.verdict.reason}; its steps are compensated`);
  for (const setback of view.setbacks) add(setback.atMs, setbackText(setback));
  for (const entry of view.history) add(timeOf(entry, view.setbacks), entryText(entry));
  if (view.state === "done") add(nowMs - view.writtenAgoMs, view.outbox.length === 0 ? "done, at the latest" : "done, with events to publish");
  return moments;
}

function compensationText(compensation: Compensation): string {
  switch (compensation.state) {
    case "trying":
      return `begun ${counted(compensation.begun, "time")}, failed ${counted(compensation.failed, "time")}`;
    case "compensated":
      return compensation.wasNeeded ? "done" : "not needed";
    case "not-compensated":
      return `failed as ${compensation.code}: ${compensation.message}`;
  }
}

const setbackWords: Readonly<Record<Setback["kind"], string>> = {
  failed: "failed",
  postponed: "postponed",
  "given-up": "given up",
  returned: "returned to the queue",
  dropped: "left alone: its lock was lost",
};

const isCountedAlways: ReadonlySet<Setback["kind"]> = new Set(["failed", "given-up"]);

function setbackText({
  kind,
  why,
  description,
  attempt,
  counts = isCountedAlways.has(kind),
  delayMs,
  worker,
  waitedMs,
  waitedFor,
  renewals,
  calls,
}: Setback): string {
  const details = [
    attempt > 0 ? `attempt ${attempt}${counts ? "" : ", not counted"}` : "",
    waitedMs > 0 ? `waited ${waitedMs} ms${waitedFor === "" ? " in a lane" : ` for ${waitedFor}`}` : "",
    renewals > 0 ? `lease renewed ${counted(renewals, "time")}` : "",
    calls.length > 0 ? `calls: ${calls.join(", ")}` : "",
    delayMs > 0 ? `to return after ${Math.round(delayMs / 100) / 10} s` : "",
    `by ${worker}`,
  ].filter((text) => text !== "");
  return `${setbackWords[kind]}${why === "" ? "" : ` for ${why}`} (${details.join("; ")})${description === "" ? "" : `: ${description}`}`;
}

function timeOf(entry: HistoryEntry, setbacks: readonly Setback[]): number {
  const atMs = happenedMs(entry);
  return entry.kind === "died" ? givenUpMs({ atMs, latestMs: entry.atMs, attempt: entry.attempt }, setbacks) : atMs;
}

function byWhom({ who }: { readonly who?: string | undefined }, word = "by"): string {
  return who === undefined || who === "" ? "" : ` ${word} ${who}`;
}

function entryText(entry: HistoryEntry): string {
  switch (entry.kind) {
    case "died": {
      const step = entry.step === "" ? "" : `, step ${entry.step}`;
      return `${entry.state === "parked" ? "parked" : "given up"} as ${entry.reason} in attempt ${entry.attempt}${step} (failure ${entry.fingerprint})`;
    }
    case "revived": {
      const from = entry.from === "start" ? "from the start" : "behind its last step";
      const reason = entry.reason === "" ? "" : `: ${entry.reason}`;
      return `brought back by a ${entry.by}${byWhom(entry, "of")}, ${from}${entry.patched ? ", with another payload" : ""}, generation ${entry.generation}${reason}`;
    }
    case "closed":
    case "cancelled":
    case "reconciled":
      return `${entry.kind}${byWhom(entry)}: ${entry.reason}`;
    case "published":
      return `its events were published${byWhom(entry)}: ${entry.reason}`;
    case "forked-from":
      return `made of event ${entry.eventId}, up to its step ${entry.step}${entry.patched ? ", with another payload" : ""}${byWhom(entry)}: ${entry.reason}`;
    case "forked-to":
      return `another run was made of it, as event ${entry.eventId}${byWhom(entry)}: ${entry.reason}`;
    case "released":
      return `released by ${entry.who}, who states that step ${entry.step} was ${entry.outcome === "done" ? "done" : "not done"}: ${entry.reason}`;
  }
}
