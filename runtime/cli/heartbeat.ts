/**
 * A sign of life for who can look at a file and no more, as the image's health check does: while the worker is up and its event
 * loop turns, the file that `HOLDFAST_HEARTBEAT` names is rewritten every few seconds. It is there from the moment the worker
 * takes messages until it is asked to stop, so that a file that is absent or old means a worker that does not work. What it holds
 * says more: whether new messages are taken, and what is in doubt.
 */
import { rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../core/errors.ts";
import { makeFolder } from "../core/make-folder.ts";

/** Well below the age at which the image's health check takes the file for old. */
const beatEveryMs = 5_000;

export interface Heartbeat {
  stop(): void;
}

/** Beats on `path`, with what `state` says; without one it does nothing. `say` hears, once, that the file cannot be written, which keeps no worker from its work. */
export function startHeartbeat(path: string | undefined, state: () => object, say: (text: string) => void): Heartbeat {
  if (path === undefined || path === "") return { stop: () => {} };
  let isSilent = false;
  const beat = (): void => {
    try {
      makeFolder(dirname(path));
      writeFileSync(path, `${JSON.stringify({ pid: process.pid, at: new Date().toISOString(), ...state() })}\n`);
      isSilent = false;
    } catch (error) {
      if (!isSilent) say(`HOLDFAST_HEARTBEAT: expected to write ${path}, found ${messageOf(error)}; name a file in a folder that the worker's user can write`);
      isSilent = true;
    }
  };
  beat();
  const beats = setInterval(beat, beatEveryMs);
  return {
    stop() {
      clearInterval(beats);
      try {
        rmSync(path, { force: true });
      } catch {
        // What could not be written cannot be removed; that was said.
      }
    },
  };
}
