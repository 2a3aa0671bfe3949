// What clients ask about sessions outside of links.
import { array, int, Typed } from "#runtime/amqp/codec/types.ts";
import type { MapView } from "#runtime/amqp/codec/views.ts";
import type { Sessions } from "../entities/sessions.ts";
import { BadRequest, done, type Entity, noContent, numberOf, type Operation, queueOf, type Reply, replySessionLockLost, textOf } from "./management-fields.ts";

export const sessionOperations: readonly (readonly [string, Operation])[] = [
  ["com.microsoft:renew-session-lock", renewSessionLock],
  ["com.microsoft:get-session-state", getSessionState],
  ["com.microsoft:set-session-state", setSessionState],
  ["com.microsoft:get-message-sessions", getMessageSessions],
];

/** Bytes of a session's state at most; the real service takes as much as a message. */
const stateBytesMax = 1024 * 1024;
/** Session ids of one reply at most. */
const idsMax = 1000;
/** From this time on, a client means "whose messages wait" and not "whose state was set since". */
const pendingFromMs = Date.UTC(9999, 0);

function renewSessionLock(fields: MapView, entity: Entity): Reply {
  const untilMs = sessionsOf(entity).renew(sessionIdOf(fields));
  return untilMs === undefined ? replySessionLockLost : { ...done, body: { expiration: new Date(untilMs) } };
}

function getSessionState(fields: MapView, entity: Entity): Reply {
  const sessions = sessionsOf(entity);
  const sessionId = sessionIdOf(fields);
  if (sessions.lockedUntil(sessionId) === undefined) return replySessionLockLost;
  return { ...done, body: { "session-state": sessions.getState(sessionId) } };
}

function setSessionState(fields: MapView, entity: Entity): Reply {
  const sessions = sessionsOf(entity);
  const sessionId = sessionIdOf(fields);
  const state = fields.get("session-state") ?? null;
  if (state !== null && !Buffer.isBuffer(state)) throw new BadRequest("'session-state' must be binary or null.");
  if (state !== null && state.length > stateBytesMax) throw new BadRequest(`'session-state' must have at most ${stateBytesMax} bytes; it has ${state.length}.`);
  if (sessions.lockedUntil(sessionId) === undefined) return replySessionLockLost;
  sessions.setState(sessionId, state === null ? undefined : Buffer.from(state));
  return done;
}

function getMessageSessions(fields: MapView, entity: Entity): Reply {
  const since = fields.get("last-updated-time");
  const sinceMs = since instanceof Date && since.getTime() < pendingFromMs ? since.getTime() : undefined;
  const skip = numberOf(fields, "skip");
  const ids = sessionsOf(entity)
    .ids(sinceMs)
    .slice(skip, skip + Math.min(numberOf(fields, "top"), idsMax));
  if (ids.length === 0) return noContent("com.microsoft:session-not-found");
  return {
    ...done,
    body: {
      skip: int(skip + ids.length),
      "sessions-ids": array(
        "string",
        ids.map((id) => new Typed("string", id)),
      ),
    },
  };
}

function sessionsOf(entity: Entity): Sessions {
  const { sessions, path } = queueOf(entity);
  if (sessions === undefined) throw new BadRequest(`'${path}' does not require sessions.`);
  return sessions;
}

function sessionIdOf(fields: MapView): string {
  const sessionId = textOf(fields, "session-id");
  if (sessionId === undefined) throw new BadRequest("'session-id' must be text.");
  return sessionId;
}
