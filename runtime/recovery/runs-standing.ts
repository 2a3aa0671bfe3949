/** What carries an event on now, if anything does; why it waits, and until when. */
import { counted } from "../core/counted.ts";
import { type HistoryEntry, lastDeath } from "../core/history.ts";
import { readReplayHeader } from "../core/replay-order.ts";
import type { RunView } from "../core/run.ts";
import type { Findings, FoundMessage } from "./runs-messages.ts";
import { holderOf, progressText, type RunProgress } from "./runs-progress.ts";

export interface Standing {
  readonly now: string;
  /** Until when it stays so, by the clock of whoever says so; undefined where nothing tells. */
  readonly untilMs: number | undefined;
  /** It has not ended, or not well, and nothing carries it on by itself. */
  readonly isStuck: boolean;
}

interface Known {
  readonly view: RunView | undefined;
  readonly progress: RunProgress | undefined;
  readonly found: Findings;
  readonly nowMs: number;
  /** The step of which nobody knows whether its effect, which may happen once at most, has happened. */
  readonly inDoubt?: string | undefined;
}

function moving(now: string, untilMs?: number): Standing {
  return { now, untilMs, isStuck: false };
}

function stuck(now: string): Standing {
  return { now, untilMs: undefined, isStuck: true };
}

export function standingOf({ view, progress, found, nowMs, inDoubt }: Known): Standing {
  if (view === undefined || progress === undefined) return withoutRecord(found);
  const how = progressText(progress);
  switch (view.state) {
    case "done":
      return view.outbox.length === 0 ? moving(`done: ${how}`) : waiting(found, "done, and the events that it has emitted are not known to be published");
    case "running": {
      const { token, leftMs } = view.claim ?? { token: "", leftMs: 0 };
      const calledOff = view.isCancelling ? ", called off, to stop at its next step boundary" : "";
      if (leftMs > 0) return moving(`claimed by ${holderOf(token)}, ${doing(progress)}${calledOff} (${how})`, nowMs + leftMs);
      return waiting(found, `its worker ${holderOf(token)} ended without returning it (${how})`);
    }
    case "waiting":
      return waiting(found, `waits since '${view.reason ?? ""}' (${how})`);
    case "dead":
    case "parked":
      return givenUp(found, `${view.state === "parked" ? "parked" : "given up"} as ${view.reason ?? ""} (${how})${doubtText(inDoubt)}`, view.history);
  }
}

function doubtText(inDoubt: string | undefined): string {
  return inDoubt === undefined ? "" : `; its step ${inDoubt} may have happened: look in the dependency whether it has`;
}

function doing({ steps, ahead, verdict }: RunProgress): string {
  if (verdict !== undefined) return "its steps are compensated";
  const begun = steps.findLast(({ state }) => state === "intent");
  if (begun !== undefined) return `in step ${begun.name}`;
  if (ahead[0] !== undefined) return `in step ${ahead[0]}, or about to begin it`;
  const last = steps.at(-1);
  return last === undefined ? "with no step on record yet" : `behind step ${last.name}`;
}

function withoutRecord(found: Findings): Standing {
  if (found.messages.length > 0) return waiting(found, "not claimed yet");
  if (found.letters.length > 0) return givenUp(found, "it has no record", []);
  return stuck(`no record, no message and no dead letter of it was found${lookedAt(found)}`);
}

function lookedAt({ cutShort }: Findings): string {
  return cutShort.length === 0 ? "" : ` among those of ${cutShort.join(" and ")} that were looked at`;
}

/** A message of it must carry it on. */
function waiting(found: Findings, what: string): Standing {
  const [next] = found.messages.filter(({ seen }) => seen.state !== "deferred").toSorted((one, other) => dueMs(one) - dueMs(other));
  if (next === undefined) {
    const [letter] = found.letters;
    if (letter !== undefined) return stuck(`${what}; its message lies in ${letter.box.name}, as ${letter.reason}: nothing carries it on before a replay`);
    if (found.messages.length > 0) return stuck(`${what}; its message is deferred, and nobody asks for it`);
    return stuck(`${what}; no message of it was found${lookedAt(found)}, so nothing carries it on`);
  }
  const why = next.waitsFor === "" ? "" : `, for ${next.waitsFor}`;
  if (next.seen.state === "scheduled") return moving(`${what}; its next message is scheduled in ${next.queue}${why}`, dueMs(next));
  const place = next.before === undefined ? "somewhere" : next.before === 0 ? "the first" : `behind ${counted(next.before, "other")}`;
  return moving(`${what}; its message is ${place} in ${next.queue}, or locked by a worker${why}`);
}

function dueMs({ seen }: FoundMessage): number {
  return seen.state === "scheduled" ? (seen.scheduledAtMs ?? Number.POSITIVE_INFINITY) : 0;
}

function givenUp(found: Findings, what: string, history: readonly HistoryEntry[]): Standing {
  if (found.messages.length > 0) {
    const { now, untilMs } = waiting(found, what);
    // As the worker decides it, but for a replay: that brings it back.
    const diedAtMs = lastDeath(history)?.atMs;
    const isOlder = diedAtMs !== undefined && found.messages.every(({ firstMs, seen }) => firstMs <= diedAtMs && readReplayHeader(seen.delivery) === undefined);
    return moving(
      `${now}; ${isOlder ? "it is dead-lettered then" : "it brings the event back if it was sent since its end, else it is dead-lettered"}`,
      untilMs,
    );
  }
  const [letter] = found.letters;
  if (letter !== undefined) return stuck(`${what}; its dead letter lies in ${letter.box.name}: nothing carries it on before a replay`);
  const last = history.at(-1);
  if (last?.kind === "closed") return moving(`${what}, and closed: ${last.reason}`);
  return stuck(`${what}; no message of it was found${lookedAt(found)}`);
}
