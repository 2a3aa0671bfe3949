import { HoldfastError } from "../../core/errors.ts";

/** What an error of a skill says beside its message. */
export interface SkillErrorOptions extends ErrorOptions {
  /** Stable, 1 to 64 characters; the dead-letter reason when the run is given up. */
  readonly code?: string | undefined;
  /** The dependency that failed. */
  readonly dependency?: string | undefined;
  /** The HTTP status it answered with. */
  readonly status?: number | undefined;
  /**
   * Whether it is certain that the effect did not happen. False after a timeout or a broken connection: the request may have
   * been carried out. Default true.
   */
  readonly definite?: boolean | undefined;
}

/** What an error that may pass says beside its message. */
export interface TransientErrorOptions extends SkillErrorOptions {
  /** The least pause before another try, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
}

/** What a skill throws, and what a call to a dependency throws. Throw `PermanentError` or `TransientError`. */
export abstract class SkillError extends HoldfastError {
  /** Whether trying again can help. */
  abstract readonly retryable: boolean;
  readonly dependency: string | undefined;
  readonly status: number | undefined;
  readonly definite: boolean;

  constructor(code: string, message: string, options?: SkillErrorOptions) {
    super(options?.code ?? code, message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.dependency = options?.dependency;
    this.status = options?.status;
    this.definite = options?.definite ?? true;
  }
}

/** Trying again cannot help: the run is dead-lettered at once. Also what a call throws when the dependency refused it for good. */
export class PermanentError extends SkillError {
  readonly retryable = false;

  constructor(message: string, options?: SkillErrorOptions) {
    super("PERMANENT", message, options);
  }
}

/** It may pass by itself: the run is tried again by its skill's retry policy. Also what a call throws when it may work later. */
export class TransientError extends SkillError {
  readonly retryable = true;
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options?: TransientErrorOptions) {
    super("TRANSIENT", message, options);
    this.retryAfterMs = options?.retryAfterMs;
  }
}
