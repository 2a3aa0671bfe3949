/**
 * What a failure means, in one table: by its code alone, since a code is what an error keeps on its way across a thread. The table
 * in `runtime/policy/README.md` is made from this one.
 */

/**
 * - `transient`: it may pass by itself.
 * - `permanent`: trying again cannot help.
 * - `poison`: the message itself is the cause, whichever worker reads it.
 * - `unavailable`: the dependency cannot be reached or does not serve now.
 * - `outcome-unknown`: the effect may have happened.
 * - `cancelled`: we, or the author, called it off; it says nothing of the dependency.
 * - `throttled`: the dependency serves, but asks for less.
 */
export type FailureClass = "transient" | "permanent" | "poison" | "unavailable" | "outcome-unknown" | "cancelled" | "throttled";

export const failureClasses: readonly FailureClass[] = ["transient", "permanent", "poison", "unavailable", "outcome-unknown", "cancelled", "throttled"];

export interface FailureRow {
  readonly source: "HTTP" | "undici" | "Node" | "Service Bus" | "Redis" | "authors" | "runtime";
  readonly codes: readonly string[];
  readonly class: FailureClass;
  /** It is certain that nothing happened. */
  readonly definite: boolean;
  readonly meaning: string;
}

function row(source: FailureRow["source"], codes: string, failureClass: FailureClass, definite: boolean, meaning: string): FailureRow {
  return { source, codes: codes.split(" "), class: failureClass, definite, meaning };
}

const yes = true;
const no = false;

/** A code that ends with `xx` or `*` stands for all that begin so; an exact code comes before those. */
export const failureTable: readonly FailureRow[] = [
  row("HTTP", "HTTP_408", "outcome-unknown", no, "the server gave up waiting for the request"),
  row("HTTP", "HTTP_425", "transient", yes, "too early: the server did not want to risk a repeated request"),
  row("HTTP", "HTTP_429", "throttled", yes, "too many requests"),
  row("HTTP", "HTTP_502 HTTP_504", "outcome-unknown", no, "a gateway got no answer, or none that it understood"),
  row("HTTP", "HTTP_503", "unavailable", yes, "the server does not serve now"),
  row("HTTP", "HTTP_5xx", "transient", no, "the server failed"),
  row("HTTP", "HTTP_1xx HTTP_3xx HTTP_4xx", "permanent", yes, "the server refused the request for good, or answers elsewhere"),
  row("HTTP", "HTTP_MALFORMED", "outcome-unknown", no, "the server announced JSON and sent something else"),

  row("undici", "UND_ERR_CONNECT_TIMEOUT", "unavailable", yes, "no connection in time"),
  row("undici", "UND_ERR_HEADERS_TIMEOUT UND_ERR_BODY_TIMEOUT", "outcome-unknown", no, "the answer, or its next piece, did not come in time"),
  row(
    "undici",
    "UND_ERR_SOCKET UND_ERR_INFO UND_ERR_RES_CONTENT_LENGTH_MISMATCH HPE_*",
    "outcome-unknown",
    no,
    "the connection broke, or its answer was garbled",
  ),
  row("undici", "UND_ERR_ABORTED", "cancelled", no, "the request was called off"),
  row("undici", "UND_ERR_DESTROYED UND_ERR_CLOSED", "transient", no, "the client was closed"),
  row("undici", "UND_ERR_INVALID_ARG UND_ERR_NOT_SUPPORTED UND_ERR_REQ_CONTENT_LENGTH_MISMATCH", "permanent", yes, "the request cannot be sent as it is"),
  row("undici", "UND_ERR_HEADERS_OVERFLOW UND_ERR_RES_EXCEEDED_MAX_SIZE", "permanent", no, "the answer is larger than is taken"),

  row("Node", "ECONNREFUSED EHOSTUNREACH ENETUNREACH EHOSTDOWN ENETDOWN EADDRNOTAVAIL", "unavailable", yes, "no connection"),
  row("Node", "ENOTFOUND EAI_AGAIN", "unavailable", yes, "its name cannot be resolved"),
  row("Node", "ECONNRESET EPIPE ETIMEDOUT ECONNABORTED ERR_SOCKET_CLOSED", "outcome-unknown", no, "the connection broke or fell silent"),
  row(
    "Node",
    "CERT_HAS_EXPIRED CERT_NOT_YET_VALID DEPTH_ZERO_SELF_SIGNED_CERT SELF_SIGNED_CERT_IN_CHAIN UNABLE_TO_VERIFY_LEAF_SIGNATURE UNABLE_TO_GET_ISSUER_CERT_LOCALLY ERR_TLS_CERT_ALTNAME_INVALID",
    "unavailable",
    yes,
    "its certificate is not trusted",
  ),
  row("Node", "ABORT_ERR AbortError", "cancelled", no, "it was called off"),
  row("Node", "TimeoutError", "outcome-unknown", no, "`AbortSignal.timeout` ran out"),

  row("Service Bus", "ServiceBusy ServerBusyError com.microsoft:server-busy", "throttled", yes, "the namespace asks for a pause"),
  row("Service Bus", "QuotaExceeded QuotaExceededError amqp:resource-limit-exceeded", "unavailable", yes, "the entity is full"),
  row("Service Bus", "MessagingEntityDisabled MessagingEntityDisabledError com.microsoft:entity-disabled", "unavailable", yes, "the entity is disabled"),
  row(
    "Service Bus",
    "ServiceTimeout ServiceCommunicationProblem OperationTimeoutError ServiceCommunicationError com.microsoft:timeout amqp:connection:forced",
    "outcome-unknown",
    no,
    "the broker did not answer, or the connection broke",
  ),
  row(
    "Service Bus",
    "MessageLockLost MessageLockLostError SessionLockLost SessionLockLostError com.microsoft:message-lock-lost com.microsoft:session-lock-lost",
    "outcome-unknown",
    no,
    "the lock is lost: the message will be redelivered",
  ),
  row("Service Bus", "SessionCannotBeLocked com.microsoft:session-cannot-be-locked", "transient", yes, "another receiver has the session"),
  row("Service Bus", "MessagingEntityNotFound MessagingEntityNotFoundError amqp:not-found", "permanent", yes, "there is no such entity"),
  row(
    "Service Bus",
    "UnauthorizedAccess UnauthorizedError amqp:unauthorized-access com.microsoft:auth-failed",
    "permanent",
    yes,
    "the key or the role does not give the right",
  ),
  row(
    "Service Bus",
    "MessageSizeExceeded MessageTooLargeError InvalidOperationError DecodeError InvalidFieldError amqp:link:message-size-exceeded amqp:decode-error amqp:not-allowed amqp:invalid-field",
    "permanent",
    yes,
    "the message is too large, or the entity does not take one like it",
  ),

  row("Redis", "LOADING MASTERDOWN CLUSTERDOWN READONLY MISCONF NOREPLICAS", "unavailable", yes, "the server does not serve writes now"),
  row("Redis", "MOVED ASK TRYAGAIN BUSY NOSCRIPT", "transient", yes, "another server or another moment will do"),
  row("Redis", "OOM", "unavailable", yes, "its memory is full"),
  row("Redis", "WRONGPASS NOAUTH NOPERM WRONGTYPE", "permanent", yes, "the credentials, the right or the kind of the key are wrong"),
  row("Redis", "MaxRetriesPerRequestError ClusterAllFailedError", "outcome-unknown", no, "the connection broke"),

  row("authors", "PERMANENT", "permanent", yes, "a `PermanentError`"),
  row("authors", "TRANSIENT", "transient", yes, "a `TransientError`"),
  row("authors", "THROWN ERROR", "transient", no, "anything else that was thrown"),

  row("runtime", "CALL_TIMEOUT RUN_TIMEOUT FALLBACK_TIMEOUT", "outcome-unknown", no, "a call, the run, or a fallback took longer than it may"),
  row("runtime", "BULKHEAD_FULL", "throttled", yes, "the dependency's bulkhead is full, and rejects what finds it so: nothing was tried"),
  row("runtime", "CIRCUIT_OPEN", "unavailable", yes, "the dependency's circuit is open: nothing was tried"),
  row("runtime", "RATE_LIMITED", "throttled", yes, "the dependency's limit is used up: nothing was tried"),
  row("runtime", "STORE_UNAVAILABLE", "unavailable", yes, "a step could not be recorded"),
  row(
    "runtime",
    "THREAD_LOST OUT_OF_MEMORY OutcomeUnknown",
    "outcome-unknown",
    no,
    "the run's thread ended, it took more heap than a thread may have, or an `atMostOnce` step may have happened",
  ),
  row(
    "runtime",
    "CALL_INVALID EMIT_INVALID EMIT_LIMIT STEP_INVALID STEP_REPEATED STEP_OVERLAP STEP_NOT_AWAITED STEP_GIVEN_UP SKILL_UNKNOWN",
    "permanent",
    yes,
    "the skill asks for what cannot be done",
  ),
  row("runtime", "UPCAST_FAILED", "permanent", yes, "an upcaster threw, or returned what its contract refuses; the skill has not run"),
  row("runtime", "STEP_RESULT RESPONSE_TOO_LARGE", "permanent", no, "a result or an answer cannot be kept"),
  row(
    "runtime",
    "InvalidEnvelope InvalidPayload BodyTooLarge DecodeLimit UnknownEventType Unrouted UnsupportedVersion EventIdReuse",
    "poison",
    yes,
    "the message itself is the cause",
  ),
  row("runtime", "HANDLING_FAILED", "transient", no, "the worker itself failed on this message"),
];

const exact = new Map(failureTable.flatMap((entry) => entry.codes.map((code) => [code, entry] as const)));
/** Few, and asked only for what has no row of its own. */
const beginnings = failureTable.flatMap((entry) =>
  entry.codes.filter((code) => /(?:xx|\*)$/.test(code)).map((code) => [code.replace(/(?:xx|\*)$/, ""), entry] as const),
);

/** What the table says of a code; undefined when it does not know it. */
export function failureRowOf(code: string): FailureRow | undefined {
  return exact.get(code) ?? beginnings.find(([beginning]) => code.startsWith(beginning))?.[1];
}

/** Whether trying again cannot help, as far as the code tells. */
export function isPermanentCode(code: string): boolean {
  return failureRowOf(code)?.class === "permanent";
}

/**
 * The class of a failure. What its thrower said of trying again stands above the table; the table tells what kind of trouble it is.
 * What the table does not know is transient: it may pass by itself.
 */
export function failureClassOf(code: string, retryable: boolean | undefined): FailureClass {
  const known = failureRowOf(code)?.class ?? "transient";
  const isFinal = known === "permanent" || known === "poison";
  if (retryable === false) return isFinal ? known : "permanent";
  return retryable === true && isFinal ? "transient" : known;
}
