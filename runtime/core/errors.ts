import type { OutgoingMessage } from "./delivery.ts";
import { redact } from "./redact.ts";
import { textOf } from "./thrown.ts";

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

/** An event that was to be sent cannot be sent as it is; nothing was. */
export class InvalidEventError extends HoldfastError {
  constructor(message: string, options?: ErrorOptions) {
    super("HOLDFAST_EVENT_INVALID", message, options);
  }
}

/** The run store did not answer, or answered that it cannot serve. The write may or may not have happened. */
export class StoreUnavailableError extends HoldfastError {
  constructor(message: string, options?: ErrorOptions) {
    super("HOLDFAST_STORE_UNAVAILABLE", message, options);
  }
}

/** The run store answers, and refuses what was asked because of what it holds of it: the same would be refused again. */
export class StoreRefusedError extends HoldfastError {
  constructor(message: string, options?: ErrorOptions) {
    super("HOLDFAST_STORE_REFUSED", message, options);
  }
}

/** Part of a run store did not answer: nothing is known of these entries of the batch, and the others were or can be carried out. */
export class StorePartlyUnavailableError extends StoreUnavailableError {
  /** Places in the batch, from 0. */
  readonly unreachable: readonly number[];

  constructor(message: string, unreachable: readonly number[], options?: ErrorOptions) {
    super(message, options);
    this.unreachable = unreachable;
  }
}

/** What the broker said of the entity itself: there is none of that name, it is closed, or the key does not open it. */
export type EntityTrouble = "missing" | "disabled" | "forbidden";

export interface TransportErrorOptions extends ErrorOptions {
  readonly retryAfterMs?: number | undefined;
  readonly entityTrouble?: EntityTrouble | undefined;
  readonly isPermanent?: boolean | undefined;
}

/** The broker did not answer, refused, or the link is gone. */
export class TransportError extends HoldfastError {
  /** Set when it asked for a pause. */
  readonly retryAfterMs: number | undefined;
  readonly entityTrouble: EntityTrouble | undefined;
  /**
   * The same would fail again until someone changes the message, the entity, its name or a right: there is no such entity, the
   * message is too large or cannot be encoded. False for what may pass by itself, a full or disabled entity included.
   */
  readonly isPermanent: boolean;

  constructor(message: string, options?: TransportErrorOptions) {
    super("HOLDFAST_TRANSPORT", message, options);
    this.retryAfterMs = options?.retryAfterMs;
    this.entityTrouble = options?.entityTrouble;
    this.isPermanent = options?.isPermanent ?? false;
  }
}

/** Not every message of a send was accepted; says what became of each that was not. */
export class SendError extends TransportError {
  /** Those that were not accepted, or that may not have been. All others of the send were. */
  readonly failed: ReadonlyMap<OutgoingMessage, TransportError>;

  constructor(failed: ReadonlyMap<OutgoingMessage, TransportError>) {
    const errors = [...failed.values()];
    const asked = errors.map(({ retryAfterMs }) => retryAfterMs ?? 0);
    const retryAfterMs = Math.max(0, ...asked);
    super(errors[0]?.message ?? "expected a message that failed, found none", {
      cause: errors[0],
      isPermanent: errors.every(({ isPermanent }) => isPermanent),
      ...(retryAfterMs > 0 ? { retryAfterMs } : {}),
    });
    this.failed = failed;
  }
}

/** The text of anything that was thrown, its causes included, fit for a log line or a dead-letter description: without secrets, and capped. Never throws. */
export function messageOf(thrown: unknown, charactersMax = 1_000): string {
  return redact(textOf(thrown), charactersMax);
}
