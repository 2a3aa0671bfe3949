/** What the broker says went wrong, as the one error of the ports. */
import type { ErrorCondition } from "../../amqp/message/condition.ts";
import type { ConnectionEnd } from "../../amqp/connection/connection-options.ts";
import { type EntityTrouble, messageOf, TransportError } from "../../core/errors.ts";
import { isPermanentCode } from "../../core/failure-class.ts";
import { entityRemedies, entityTroubleText, remedyWithout } from "../support/entity-trouble.ts";
import { busyPauseMs } from "./limits.ts";

export const serverBusy = "com.microsoft:server-busy";

const entityTroubles: ReadonlyMap<string, EntityTrouble> = new Map([
  ["amqp:not-found", "missing"],
  ["com.microsoft:entity-disabled", "disabled"],
  ["amqp:unauthorized-access", "forbidden"],
  ["com.microsoft:auth-failed", "forbidden"],
]);

const remedies: ReadonlyMap<string, string> = new Map([
  [serverBusy, "nothing: it goes on by itself after a pause; a larger tier or fewer workers if it persists"],
  ["amqp:link:message-size-exceeded", "send a smaller body, or keep it in a blob and send its URI"],
  ["amqp:resource-limit-exceeded", "drain the entity or raise its quota"],
  ["amqp:not-allowed", "correct the entity's name or its kind in the configuration"],
]);

/** Conditions that may be the fault of a single message, whatever else was sent with it. */
const ofMessage: ReadonlySet<string> = new Set(["amqp:link:message-size-exceeded", "amqp:decode-error", "amqp:not-allowed", "amqp:invalid-field"]);

/** Conditions that trying again at once does not cure, besides those that are permanent. */
const lasting: ReadonlySet<string> = new Set(["com.microsoft:entity-disabled", "amqp:resource-limit-exceeded"]);

/** `expected` completes "expected …"; `missing` is found when the broker gave no reason. */
export function errorOf(expected: string, condition: ErrorCondition | undefined, missing: string): TransportError {
  if (condition === undefined) return new TransportError(`expected ${expected}, found ${missing}; check that the broker is up and reachable`);
  const entityTrouble = entityTroubles.get(condition.condition);
  const said = condition.description === undefined ? condition.condition : `${condition.condition}: ${condition.description}`;
  const found = entityTrouble === undefined ? said : entityTroubleText(entityTrouble, condition.condition, condition.description ?? "it gave no reason");
  const isPermanent = isPermanentCode(condition.condition);
  const remedy = entityTrouble === undefined ? (remedies.get(condition.condition) ?? remedyWithout(isPermanent)) : entityRemedies[entityTrouble];
  const busy = condition.condition === serverBusy ? { retryAfterMs: busyPauseMs } : {};
  return new TransportError(`expected ${expected}, found ${found}; ${remedy}`, {
    cause: condition,
    entityTrouble,
    isPermanent,
    ...busy,
  });
}

/** Whether sending the same again soon would fail again. */
export function isLasting(condition: ErrorCondition | undefined): boolean {
  return condition !== undefined && (lasting.has(condition.condition) || isPermanentCode(condition.condition));
}

/** Whether it may be the fault of one message. */
export function isOfMessage(condition: ErrorCondition | undefined): boolean {
  return condition !== undefined && ofMessage.has(condition.condition);
}

/** Whether it was said that the token does not give the right. */
export function isUnauthorized(condition: ErrorCondition | undefined): boolean {
  return condition?.condition === "amqp:unauthorized-access";
}

/** Whether the namespace asks for a pause. */
export function isBusy(condition: string | undefined): boolean {
  return condition === serverBusy;
}

/** Why a connection is over. */
export function connectionErrorOf(host: string, end: ConnectionEnd): TransportError {
  const expected = `a connection to ${host}`;
  const error = "error" in end ? end.error : undefined;
  if (error !== undefined) return errorOf(expected, error, "none");
  const cause = "cause" in end ? end.cause : undefined;
  const found = cause === undefined ? "that it was closed" : messageOf(cause);
  return new TransportError(
    `expected ${expected}, found ${found || "that it failed"}; check that the broker is up and reachable`,
    cause === undefined ? {} : { cause },
  );
}

/** Keeps a TransportError as it is and wraps anything else. */
export function transportErrorOf(expected: string, thrown: unknown): TransportError {
  if (thrown instanceof TransportError) return thrown;
  return new TransportError(`expected ${expected}, found ${messageOf(thrown)}; check that the broker is up and reachable`, { cause: thrown });
}

/** Whether a settlement or renewal failed because the broker no longer knows the lock. */
export function isLockLost(condition: string | undefined): boolean {
  return condition === "com.microsoft:message-lock-lost" || condition === "com.microsoft:message-not-found" || condition === "com.microsoft:session-lock-lost";
}
