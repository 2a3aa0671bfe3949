import { type EntityTrouble, messageOf, TransportError } from "../../core/errors.ts";
import { isPermanentCode } from "../../core/failure-class.ts";
import type { SettleResult } from "../../ports/transport.ts";
import { entityRemedies, entityTroubleText, remedyWithout } from "../support/entity-trouble.ts";
import { busyPauseMs } from "./limits.ts";

/** The stable code of an error of the SDK: it has two vocabularies, one a layer, and says some only at the beginning of the text. */
function codeOf(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null || !("code" in thrown) || typeof thrown.code !== "string") return "";
  const said = thrown.code === "GeneralError" ? /^(\w+Error): /.exec(messageOf(thrown))?.[1] : undefined;
  return said ?? thrown.code;
}

/** Whether the SDK gave it one of these codes. */
export function hasCode(thrown: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(codeOf(thrown));
}

/** Codes that may be the fault of a single message, whatever else was sent with it. */
const ofMessage: ReadonlySet<string> = new Set(["MessageSizeExceeded", "MessageTooLargeError", "InvalidOperationError", "DecodeError", "InvalidFieldError"]);

/** Whether it may be the fault of one message. */
export function isOfMessage(thrown: unknown): boolean {
  return ofMessage.has(codeOf(thrown));
}

/** What trying again does not cure: the entity is not there, is closed, or the key does not open it. */
const entityTroubles: ReadonlyMap<string, EntityTrouble> = new Map([
  ["MessagingEntityNotFound", "missing"],
  ["MessagingEntityNotFoundError", "missing"],
  ["MessagingEntityDisabled", "disabled"],
  ["MessagingEntityDisabledError", "disabled"],
  ["UnauthorizedAccess", "forbidden"],
  ["UnauthorizedError", "forbidden"],
]);

const remedies: ReadonlyMap<string, string> = new Map([
  ["ServiceBusy", "nothing: it goes on by itself after a pause; a larger tier or fewer workers if it persists"],
  ["ServerBusyError", "nothing: it goes on by itself after a pause; a larger tier or fewer workers if it persists"],
  ["MessageSizeExceeded", "send a smaller body, or keep it in a blob and send its URI"],
  ["MessageTooLargeError", "send a smaller body, or keep it in a blob and send its URI"],
  ["QuotaExceeded", "drain the entity or raise its quota"],
  ["QuotaExceededError", "drain the entity or raise its quota"],
]);

/** Turns whatever the SDK threw into the one error of the port. `expected` completes "expected …". */
export function transportErrorOf(expected: string, thrown: unknown): TransportError {
  if (thrown instanceof TransportError) return thrown;
  const code = codeOf(thrown);
  const busy = code === "ServiceBusy" || code === "ServerBusyError";
  const entityTrouble = entityTroubles.get(code);
  const found =
    entityTrouble !== undefined ? entityTroubleText(entityTrouble, code, messageOf(thrown)) : code === "" ? messageOf(thrown) : `${code}: ${messageOf(thrown)}`;
  const isPermanent = isPermanentCode(code);
  const remedy = entityTrouble === undefined ? (remedies.get(code) ?? remedyWithout(isPermanent)) : entityRemedies[entityTrouble];
  return new TransportError(`expected ${expected}, found ${found}; ${remedy}`, {
    cause: thrown,
    entityTrouble,
    isPermanent,
    ...(busy ? { retryAfterMs: busyPauseMs } : {}),
  });
}

/** Whether the broker has answered, and its answer was no. */
export function isRefusal(thrown: unknown): boolean {
  return entityTroubles.has(codeOf(thrown instanceof TransportError ? thrown.cause : thrown));
}

const lockLostCodes: ReadonlySet<string> = new Set(["MessageLockLost", "MessageNotFound", "SessionLockLost"].flatMap((code) => [code, `${code}Error`]));

/** Whether a failed settlement or renewal means that the broker no longer knows the lock. */
export function isLockLost(thrown: unknown): boolean {
  const code = codeOf(thrown);
  if (lockLostCodes.has(code)) return true;
  // The client says this without a code when the broker has settled the delivery by itself.
  return thrown instanceof Error && thrown.message.includes("already settled");
}

export function settleResultOf(thrown: unknown): SettleResult {
  return isLockLost(thrown) ? "lock-lost" : "unknown";
}
