// Error conditions (part 2, 2.8.15 to 2.8.18) and the one exception the engine throws inside itself.
//
// What a peer does wrong is found deep in a decoder but ends a link, a session or the connection. The decoders throw a
// ProtocolError that names the condition and how much it ends; the frame loop of the connection catches it in one place
// and closes just that much. Owners get it as an `ErrorCondition` value. They meet the ProtocolError itself in two
// places, and may catch it there: reading a malformed message through a lazy view, and sending what does not fit into a
// frame that the peer takes (`amqp:frame-size-too-small`).

/** The conditions the engine itself sends. A peer may send any other; conditions are open strings. */
export const conditions = {
  internalError: "amqp:internal-error",
  decodeError: "amqp:decode-error",
  resourceLimitExceeded: "amqp:resource-limit-exceeded",
  notAllowed: "amqp:not-allowed",
  invalidField: "amqp:invalid-field",
  notImplemented: "amqp:not-implemented",
  illegalState: "amqp:illegal-state",
  frameSizeTooSmall: "amqp:frame-size-too-small",
  framingError: "amqp:connection:framing-error",
  windowViolation: "amqp:session:window-violation",
  handleInUse: "amqp:session:handle-in-use",
  unattachedHandle: "amqp:session:unattached-handle",
  transferLimitExceeded: "amqp:link:transfer-limit-exceeded",
  messageSizeExceeded: "amqp:link:message-size-exceeded",
  stolen: "amqp:link:stolen",
} as const;

/** How much of the conversation a violation ends. */
export type ProtocolScope = "connection" | "session" | "link";

/** A peer broke a rule, or bytes are not what they should be. `code` is the AMQP error condition. */
export class ProtocolError extends Error {
  readonly code: string;
  readonly scope: ProtocolScope;

  constructor(code: string, description: string, scope: ProtocolScope = "connection") {
    super(description);
    this.name = "ProtocolError";
    this.code = code;
    this.scope = scope;
  }

  /** As it is sent to the peer. */
  toCondition(): { readonly condition: string; readonly description: string } {
    return { condition: this.code, description: this.message };
  }
}

/** The error for bytes that do not follow the type system (part 1). */
export function malformed(description: string): ProtocolError {
  return new ProtocolError(conditions.decodeError, description);
}

/** Calls each, even when one throws; what was thrown first is thrown at the end. For the callbacks that tell of an end: all must hear. */
export function callAll(calls: readonly (() => void)[]): void {
  let first: { readonly error: unknown } | undefined;
  for (const call of calls) {
    try {
      call();
    } catch (error) {
      first ??= { error };
    }
  }
  if (first !== undefined) throw first.error;
}
