// Receivers of sessions: a link is answered once its session is locked, which may take a while when it asks for the next one.
import type { NoSession, SessionLock, Sessions } from "../entities/sessions.ts";
import { entityDisabled, entityNotFound, noSessionInTime, sessionRequired, sessionTaken } from "./refusals.ts";
import type { Attach, AttachDecision, SendingHandler, SendingLink, WireError } from "./wire.ts";

export const sessionFilter = "com.microsoft:session-filter";
const lockedUntilProperty = "com.microsoft:locked-until-utc";
const timeoutProperty = "com.microsoft:timeout";

/** How long a client waits for the next session when it does not say. */
const waitDefaultMs = 60_000;
const waitMaxMs = 24 * 3_600_000;

/** .NET counts in ticks of 100 ns from the year 1. */
const ticksAtEpoch = 621_355_968_000_000_000n;
const ticksPerMs = 10_000n;

type Open = (sessions: Sessions, lock: SessionLock, link: SendingLink) => SendingHandler;

export function attachSession(path: string, sessions: Sessions, attach: Attach, open: Open): AttachDecision {
  const wanted = attach.filters.get(sessionFilter);
  if (wanted === undefined) {
    return { kind: "refuse", error: sessionRequired };
  }
  if (wanted !== null) {
    const lock = sessions.lock(wanted);
    if (lock === undefined) return { kind: "refuse", error: sessionTaken(wanted) };
    return granted(sessions, lock, open);
  }
  const lock = sessions.lockNext();
  if (lock !== undefined) return granted(sessions, lock, open);
  const timeout = attach.properties.get(timeoutProperty);
  const timeoutMs = typeof timeout === "number" && timeout > 0 ? Math.min(timeout, waitMaxMs) : waitDefaultMs;
  return {
    kind: "later",
    start: (decide) =>
      sessions.waitForNext(timeoutMs, (end) =>
        decide(typeof end === "string" ? { kind: "refuse", error: refusalOf(end, path, timeoutMs) } : granted(sessions, end, open)),
      ),
  };
}

function refusalOf(why: NoSession, path: string, timeoutMs: number): WireError {
  switch (why) {
    case "none-in-time":
      return noSessionInTime(timeoutMs);
    case "deleted":
      return entityNotFound(path);
    case "disabled":
      return entityDisabled(path);
  }
}

function granted(sessions: Sessions, lock: SessionLock, open: Open): AttachDecision {
  return {
    kind: "send",
    details: {
      filters: new Map([[sessionFilter, lock.sessionId]]),
      properties: new Map([[lockedUntilProperty, BigInt(lock.lockedUntilMs) * ticksPerMs + ticksAtEpoch]]),
    },
    start: (link) => open(sessions, lock, link),
  };
}
