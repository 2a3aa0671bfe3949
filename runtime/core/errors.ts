/**
 * Base of every error the runtime throws. `code` is stable across releases and safe to match on; the message says what
 * was expected, what was found and what to do.
 */
export class HoldfastError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The configuration, a plugin or a skill definition cannot be used; thrown at start, never later. */
export class ConfigurationError extends HoldfastError {
  constructor(message: string, options?: ErrorOptions) {
    super("HOLDFAST_CONFIGURATION", message, options);
  }
}

/** The run store did not answer, or answered that it cannot serve. The write may or may not have happened. */
export class StoreUnavailableError extends HoldfastError {
  constructor(message: string, options?: ErrorOptions) {
    super("HOLDFAST_STORE_UNAVAILABLE", message, options);
  }
}

/** The broker did not answer, refused, or the link is gone. `retryAfterMs` is set when it asked for a pause. */
export class TransportError extends HoldfastError {
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options?: ErrorOptions & { readonly retryAfterMs?: number }) {
    super("HOLDFAST_TRANSPORT", message, options);
    this.retryAfterMs = options?.retryAfterMs;
  }
}

/** The text of anything that was thrown, capped so that it fits a log line or a dead-letter description. */
export function messageOf(thrown: unknown, charactersMax = 1_000): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.length > charactersMax ? `${text.slice(0, charactersMax)}…` : text;
}
