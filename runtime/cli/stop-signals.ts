/**
 * What asks a command to stop: SIGTERM, SIGINT (Ctrl-C), or a parent that listened and is gone. It is heard from the first
 * line of JavaScript on, before anything else is loaded, so this file imports next to nothing; only while Node itself starts, some tens
 * of milliseconds, a signal ends the process as the system has it.
 *
 *   nothing has begun ──ask──▶ exit 0
 *         │ takeOver                          (a plugin's import that never ends is ended so, too)
 *         ▼
 *   somebody answers ──ask──▶ it stops in order ──SIGTERM or SIGINT again──▶ exit 130, at once
 *                                 │ hasStopped
 *                                 ▼
 *                             the code of that stop, whatever is sent now
 *
 * SIGHUP tells that a terminal is gone. A worker stays; what was run for its user's eyes stops.
 */

import { exitCodes } from "./exit-codes.ts";
import { writeLogLine } from "./log-line.ts";

/** Who answers when the process is asked to stop. */
export interface Stoppable {
  /** Called once at most. */
  stop(reason: string): void;
  /** Writes a line to where its user looks. */
  say(text: string): void;
  /** Ends the process as soon as what it said is written; without it, as Node does. */
  end?(code: number): void;
}

/** Within this time a second signal of one kind is npm's copy of the first. */
const copiedWithinMs = 500;

const beforehand: Stoppable = {
  stop(reason) {
    this.say(`${reason}: nothing had started yet, so it ends`);
    process.exit(exitCodes.good);
  },
  say(text) {
    writeLogLine({ level: "info", text }, `holdfast: ${text}`);
  },
};

let current: Stoppable = beforehand;
let isStopped = false;
let asked: { readonly reason: string; readonly atMs: number } | undefined;

/** Hears from now on. Call it once, first of all. */
export function hearStopSignals(atHangUp: "stay" | "stop"): void {
  process.on("SIGHUP", () => {
    if (atHangUp === "stop") ask("SIGHUP");
    else current.say("SIGHUP: a worker goes on without its terminal; SIGTERM stops it");
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => onSignal(signal));
  // On Windows, and for a parent that was killed, this is the only word.
  if (process.send !== undefined) process.once("disconnect", () => ask("the parent process is gone"));
}

/** Has `stoppable` answer from now on: something has begun that must be ended in order. */
export function takeOver(stoppable: Stoppable): void {
  current = stoppable;
}

/** All that was held is settled or given back: a further signal makes it no other end. */
export function hasStopped(): void {
  isStopped = true;
}

function ask(reason: string): void {
  if (asked !== undefined) return;
  asked = { reason, atMs: performance.now() };
  current.stop(reason);
}

function onSignal(signal: "SIGTERM" | "SIGINT"): void {
  if (asked === undefined) {
    ask(signal);
    return;
  }
  if (asked.reason === signal && isRunByNpm() && performance.now() - asked.atMs < copiedWithinMs) return;
  if (isStopped) {
    current.say(`${signal}, after ${asked.reason}: it has stopped in order already, and ends`);
    endWith(Number(process.exitCode ?? exitCodes.good));
    return;
  }
  current.say(`${signal}, after ${asked.reason}: it ends at once; what it held is delivered again when its locks end`);
  endWith(exitCodes.forced);
}

function endWith(code: number): void {
  if (current.end === undefined) process.exit(code);
  current.end(code);
}

/** npm passes on to its script what a terminal has sent to both of them. */
function isRunByNpm(): boolean {
  return /\bholdfast\b|\bcli\/main\b/.test(process.env["npm_lifecycle_script"] ?? "");
}
