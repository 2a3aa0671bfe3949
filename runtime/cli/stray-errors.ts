/**
 * Errors that nobody catches, of code that others wrote and that runs on the main thread: the module of a plugin, imported here to read
 * what it defines, or a configuration, with the timers and promises they leave behind. Nothing of the worker's own hangs on them, so
 * they become a line and end nothing. Every other such error ends the process, as Node has it.
 */
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { isStrayRejection } from "../adapters/service-bus/stray-rejections.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { Recurrences } from "../adapters/telemetry/recurrences.ts";
import { messageOf } from "../core/errors.ts";
import { originOf } from "../skills/host/module-owner.ts";
import { hearUncaught } from "./last-words.ts";
import { writeForeign } from "./output.ts";

let isSurviving = false;

/** Call it before anything is imported that others wrote. Idempotent. */
export function surviveForeignErrors(): void {
  if (isSurviving) return;
  isSurviving = true;
  const recurrences = new Recurrences(systemClock);
  const isForeign = (what: string, remedy: string, thrown: unknown): boolean => {
    const origin = originOf(thrown);
    if (origin === undefined) return false;
    const { owner, at = basename(fileURLToPath(owner.url)) } = origin;
    const text = `${owner.name}: ${what}: ${messageOf(thrown)} (${at}); ${remedy}`;
    const repeated = recurrences.occurs(text);
    if (repeated !== undefined)
      writeForeign({ level: "error", text, fields: { type: "plugin.error", source: owner.name, at, ...(repeated === 0 ? {} : { repeated }) } });
    return true;
  };
  process.on("unhandledRejection", (reason) => {
    if (isStrayRejection(reason)) return;
    if (!isForeign("a promise was rejected that nobody waits for", "await it, or catch what it may throw", reason)) throw reason;
  });
  hearUncaught(
    // Of the other kind is the failure of the command itself, whose promise nobody waits for.
    (error, kind) =>
      kind === "uncaughtException" && isForeign("an error was thrown outside of every promise", "catch it where the timer or the event calls", error),
  );
}
