// Whether the end of one event adds up: what its run's record says, against what the broker has of the event's messages.
//
//   done           completed; a dead letter of its run only where the run had died before, and a resend brought it back
//   dead, parked   a dead letter that tells of its last death
//   anything else  only where the broker or the envelope ended its message
//
// The times of messages are the broker's own, so that the account does not rest on what the pipeline has written into copies.
import { originHeader } from "#runtime/core/copy.ts";
import { type Death, deathOfHeaders } from "#runtime/core/death.ts";
import type { HistoryEntry } from "#runtime/core/history.ts";
import type { RunView } from "#runtime/core/run.ts";
import type { Stored } from "#runtime/testing/world/model-queue.ts";

/** Dead-letter reasons that say nothing of the run: the message itself came too often, or was not the event's own. */
const messageReasons: ReadonlySet<string> = new Set(["EventIdReuse", "DeliveryLimit", "MaxDeliveryCountExceeded", "InvalidEnvelope", "UnknownEventType"]);

type EventRecord = Pick<RunView, "state" | "generation" | "history">;

interface RunLetter {
  readonly stored: Stored;
  readonly reason: string;
  /** Undefined where it describes none. */
  readonly death: Death | undefined;
}

/** A message of the event, and not of another one under its id, was ended for what it was itself. */
export function hasEndedUnseen(messages: readonly Stored[]): boolean {
  return messages.some(({ reason }) => reason !== undefined && reason !== "EventIdReuse" && messageReasons.has(reason));
}

/** What does not add up, in words that follow the event's id; empty when all does. */
export function eventViolations(record: EventRecord | undefined, messages: readonly Stored[]): readonly string[] {
  const letters = messages.flatMap((stored): RunLetter[] => {
    const { reason, properties } = stored;
    if (reason === undefined || messageReasons.has(reason)) return [];
    return [{ stored, reason, death: deathOfHeaders((name) => properties[name]) }];
  });
  const explained = [
    ...letters.flatMap((letter) => letterViolations(letter, record, messages)),
    ...(record?.history ?? []).flatMap((entry) => revivalViolations(entry, record, messages)),
  ];
  return [...explained, ...endViolations(record, letters, messages)];
}

/** It tells of a death that its record knows; its message was there by then, and the run has not ended well without being brought back. */
function letterViolations({ stored, reason, death }: RunLetter, record: EventRecord | undefined, messages: readonly Stored[]): string[] {
  const known = record?.history.some((entry) => entry.kind === "died" && isSame(entry, death)) === true;
  if (death === undefined || !known) return [`is ${record?.state} and dead-lettered as ${reason}, of which its record knows nothing`];
  const enqueuedAtMs = firstEnqueuedMs(stored, messages);
  if (enqueuedAtMs > death.atMs) return [`is dead-lettered as ${reason} of ${death.atMs} with a message that was sent at ${enqueuedAtMs}`];
  if (record?.state === "done" && revivalAfter(record, death) === undefined)
    return [`is done and dead-lettered as ${reason}, and nothing brought it back between`];
  return [];
}

/** What a resend brought back had died, and a message of it was sent after that. */
function revivalViolations(entry: HistoryEntry, record: EventRecord | undefined, messages: readonly Stored[]): string[] {
  if (entry.kind !== "revived" || entry.by !== "resend") return [];
  const death = record?.history.find((other) => other.kind === "died" && other.generation === entry.generation - 1);
  if (death === undefined) return [`was brought back at ${entry.atMs} without having died`];
  const isResent = messages.some((stored) => {
    const enqueuedAtMs = firstEnqueuedMs(stored, messages);
    return enqueuedAtMs > death.atMs && enqueuedAtMs <= entry.atMs;
  });
  return isResent ? [] : [`died at ${death.atMs} and was brought back at ${entry.atMs} by no message that was sent between`];
}

function endViolations(record: EventRecord | undefined, letters: readonly RunLetter[], messages: readonly Stored[]): string[] {
  switch (record?.state) {
    case "done":
      return [];
    case "dead":
    case "parked": {
      const isTold = letters.some(({ death }) => death?.generation === record.generation);
      return isTold || hasEndedUnseen(messages) ? [] : [`was given up and is not dead-lettered: ${statesOf(messages)}`];
    }
    case "running":
    case "waiting":
    case undefined:
      return hasEndedUnseen(messages) ? [] : [`is lost: its record is ${record?.state}, its messages are ${statesOf(messages)}`];
  }
}

function revivalAfter(record: EventRecord, { generation }: Death): HistoryEntry | undefined {
  return record.history.find((entry) => entry.kind === "revived" && entry.generation === generation + 1);
}

function isSame(one: Death, other: Death | undefined): boolean {
  return one.atMs === other?.atMs && one.reason === other.reason && one.generation === other.generation && one.fingerprint === other.fingerprint;
}

/** A copy is as old as the message that it carries on. */
function firstEnqueuedMs(stored: Stored, messages: readonly Stored[]): number {
  const origin = stored.message.headers[originHeader];
  if (origin === undefined) return stored.enqueuedAtMs;
  const first = messages.find(({ message }) => message.messageId === origin);
  if (first === undefined) throw new Error(`expected the message ${String(origin)}, of which ${stored.message.messageId} is a copy, to be of the same event`);
  return first.enqueuedAtMs;
}

function statesOf(messages: readonly Stored[]): string {
  return messages.map(({ reason, state }) => reason ?? state).join();
}
