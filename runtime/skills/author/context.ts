// What a skill sees.
import type { StepKind, StepQuality } from "../../core/run.ts";
import type { SkillMessage } from "../../core/skill-message.ts";
import type { Dependency } from "./define-dependency.ts";
import type { Resource } from "./define-resource.ts";
import type { SettingsReader } from "./define-settings.ts";
import type { SkillError } from "./errors.ts";
import type { EmittedPayload, EventOf } from "./event-contracts.ts";
import type { TransactionalDatabase } from "./transactional.ts";

/** How much a log line matters. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/**
 * Structured log lines, tagged with the run. Batched, capped and redacted on their way to the worker's log. What a skill prints
 * becomes such a line, too: at level `info` on standard output, at `warn` on standard error.
 */
export interface SkillLog {
  /** For whoever looks for a fault; written when `logLevel` is `debug`. */
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** What happened as it should. */
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** What somebody should look at, some day. */
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** What somebody should look at now. */
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** Where an emitted event goes, when, and with what. */
export interface EmitOptions {
  /** Schema version of the emitted payload, `major.minor`. Default "1.0". */
  readonly version?: string;
  readonly artifactUri?: string;
  /** The queue or topic that it is sent to; 1 to 260 characters. Default: what `publish` of the configuration names for its type. */
  readonly entity?: string;
  /** Session that the message is one of, for an entity that keeps sessions in order; 1 to 128 characters. Default: none. */
  readonly sessionId?: string;
  /** It can be received so many milliseconds after it was emitted, by the worker's clock; 0 to 400 days. Default 0. Not with `at`. */
  readonly delayMs?: number;
  /** It can be received from then on. Not with `delayMs`. */
  readonly at?: Date;
  /** How long it lives, in milliseconds from when it can be received; 1 to 400 days. Default: as long as the entity lets it. */
  readonly timeToLiveMs?: number;
  /**
   * Application properties of its own beside the envelope's, for filters of subscriptions and for other readers: 50 at most, of 16 KiB in all.
   * Names of the envelope, and those that begin with `holdfast-`, are taken.
   */
  readonly properties?: Readonly<Record<string, string | number | bigint | boolean | Date | null>>;
}

/** What a call says of the tokens that it uses, for a dependency that limits them. */
export interface CallOptions<Response> {
  /** What the call may use, for as long as its answer does not say. Default: the dependency's. */
  readonly estimatedTokens?: number;
  /** Reads from the answer what it used. Default: the dependency's; without one the estimate stands. */
  readonly tokensOf?: (response: NoInfer<Response>) => number;
}

/** What is there both in a skill and inside one of its steps. */
interface CommonContext<Payload> extends SettingsReader {
  /** Where contracts say what it carries, and the skill gives no schema of its own, typed by them. */
  readonly event: EventOf<Payload>;
  /** Aborted when the run's time is over or it must stop: pass it to whatever takes one. Made when it is first read. */
  readonly signal: AbortSignal;
  readonly log: SkillLog;
  /** 1 for the first execution of this run. */
  readonly attempt: number;
  /**
   * Calls a dependency that the skill names in `uses`, within its time-outs and retries. Throws `PermanentError` when it
   * refused for good and `TransientError` when it may work later; `definite` on either says whether it is certain that
   * nothing happened. Where the dependency's limit is reached it waits, within the call's time, or throws `RATE_LIMITED`.
   */
  call<Request, Response>(dependency: Dependency<Request, Response>, request: Request, options?: CallOptions<Response>): Promise<Response>;
  /**
   * Adds an event to the run's outbox: it is published, at least once, after the run is done, and not at all if it fails.
   * Trace, correlation, project and tenant go on; `causationId` is the event at hand. The payload must be JSON.
   */
  emit<Type extends string, Version extends string = "1.0">(
    eventType: Type,
    payload: EmittedPayload<Type, Version>,
    options?: EmitOptions & { readonly version?: Version },
  ): void;
  /**
   * The resource of this thread, which is made when it is first asked for. Rejects with a `TransientError`, `RESOURCE_UNAVAILABLE`, when it
   * cannot be made now.
   */
  use<Value>(resource: Resource<Value>): Promise<Value>;
  /**
   * Whether a feature flag of the configuration (`flags`) is on at this moment. It may change between two looks, and between the tries of a run: look once, and let a step record
   * what is to hold for the whole of it. Throws a `PermanentError`, `FLAG_UNKNOWN`, for one that the configuration does not name.
   */
  isOn(flag: string): boolean;
  /** How good the result of a step is that was done in this run, or before it: `full` unless a fallback answered. */
  qualityOf(step: string): StepQuality;
}

/** What an answer to a message says, beside its payload. */
export interface ReplyOptions extends Pick<EmitOptions, "version" | "artifactUri" | "timeToLiveMs" | "properties"> {
  /** Default: the event's own type with `.reply` behind it. */
  readonly eventType?: string;
}

/** The message that brought the event. A run that does not ask for it pays nothing. */
interface MessageContext {
  /**
   * What the message was: application properties, sequence number, times, session, reply-to. It is asked of the worker when it is first called. It is that of this execution: a
   * retry may come by a copy, with the same properties and another sequence number. Throws a `TransientError` when the worker cannot tell.
   */
  message(): Promise<SkillMessage>;
  /**
   * Answers the message at the entity, and in the session, that its reply-to names, with its correlation id (its message id, where it has none). The answer is an event
   * that goes through the run's outbox as one that is emitted does: at least once, after the run is done, and not at all if it fails. Await it. Throws a `PermanentError` when the message
   * names no reply-to, or one that cannot be an entity of the namespace (`REPLY_UNADDRESSED`), and when the payload is no JSON (`EMIT_INVALID`).
   */
  reply(payload: unknown, options?: ReplyOptions): Promise<void>;
}

/** What a step's effect is given. */
export interface StepContext<Payload = unknown> extends CommonContext<Payload>, MessageContext {
  /** The same at every try of this step of this run: a dependency that honours it carries the effect out once. */
  readonly idempotencyKey: string;
}

/** The session of a message, for what is kept from one of its messages to the next. */
export interface SkillSession {
  readonly id: string;
  /**
   * What the run of an earlier message left, or this one has set; undefined for nothing. Asked of the broker when it is first
   * called. The same at every try of the run. Throws a `PermanentError` when it is no JSON.
   */
  getState<State>(): Promise<State | undefined>;
  /**
   * Leaves this to the session's next message; undefined takes it away. It is written when the run is done, before its
   * message is completed, and not at all if the run fails. Must be JSON, of 256 KiB at most. Not for use inside a step: what a
   * step that was done before has set would not be set again.
   */
  setState(state: unknown): void;
}

/** What a skill's `run` is given. */
export interface SkillContext<Payload = unknown> extends CommonContext<Payload>, MessageContext {
  /** Of the whole run; a step has one of its own. */
  readonly idempotencyKey: string;
  /** Undefined where the entity that is read has none. */
  readonly session: SkillSession | undefined;
  /**
   * Runs `effect` and stores its result before it returns; on a resumed run returns the stored result and does not call it. One
   * step at a time, each under a name of its own. Results must be data (what JSON holds, and dates, bytes, maps and sets):
   * the caller gets what a resumed run would get. Without options the step is `keyed`.
   */
  step<Result>(name: string, effect: StepEffect<Result, Payload>): Promise<Result>;
  /** As above, with a kind, fallbacks or a compensation. */
  step<Result>(name: string, options: StepOptions<Result, Payload>, effect: StepEffect<Result, Payload>): Promise<Result>;
  /** As above, of the kind `transactional`: the effect and the record of it are one transaction. */
  step<Result, Transaction>(
    name: string,
    options: TransactionalOptions<Result, Transaction, Payload>,
    effect: TransactionalEffect<Result, Transaction, Payload>,
  ): Promise<Result>;
}

/** What a step's compensation is given. It emits nothing: the run's outbox is lost with the run. */
export interface CompensationContext<Payload = unknown> extends Omit<CommonContext<Payload>, "emit"> {
  /** Of this compensation, the same at every try of it. */
  readonly idempotencyKey: string;
  /** The key under which the step's own effect was called. */
  readonly stepKey: string;
  /** It is not known whether the effect happened, and there is no result. */
  readonly isInDoubt: boolean;
}

/**
 * Undoes what a step has done, when its run has failed for good. At least once: what it calls must honour the key, or bear
 * being called twice. `result` is what the step returned; undefined when that is not known.
 */
export type Compensate<Result, Payload = unknown> = (context: CompensationContext<Payload>, result: Result | undefined) => unknown;

/** What a step does: its result is stored, and given back instead of doing it again. What it throws fails the step, which leaves no record. */
export type StepEffect<Result, Payload = unknown> = (step: StepContext<Payload>) => Promise<Result> | Result;

/** One answer of a fallback chain. */
export interface FallbackRules<Payload = unknown> {
  /** 1 to 64 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter; unique in the step. */
  readonly name: string;
  /** Of its answer. It stays with the step's result, and goes with every event that the run emits from then on. */
  readonly quality: StepQuality;
  /** Whether it answers for this failure. Default: always. It must not throw. */
  readonly when?: (error: SkillError, step: StepContext<Payload>) => boolean;
  /** Answer also when the effect, or that of a fallback before, may have happened, as after a timeout. Default false. */
  readonly whenUnknown?: boolean;
  /** Milliseconds until it counts as failed, with unknown outcome; 1 to 600 000. Default: the run's own time. */
  readonly timeoutMs?: number;
}

/** An answer in the place of a step's effect that failed, with its rules. */
export interface Fallback<Result, Payload = unknown> extends FallbackRules<Payload> {
  /** Gives the result in the effect's place. Its calls have keys of their own; what the failed effect emitted is dropped. */
  readonly answer: (step: StepContext<Payload>, error: SkillError) => Promise<NoInfer<Result>> | NoInfer<Result>;
}

/**
 * How often a step's effect may happen (see `StepKind`; default `keyed`), and who answers when it fails: the fallbacks, in their order,
 * for a `PermanentError` or `TransientError` that certainly had no effect. When none answers, the step fails with its own error, or,
 * where that is permanent, with the first one of the chain that may pass.
 */
export type StepOptions<Result, Payload = unknown> = { readonly fallbacks?: readonly Fallback<Result, Payload>[] } & (
  | { readonly kind?: Exclude<StepKind, "queryable">; readonly compensate?: Compensate<NoInfer<Result>, Payload> }
  | {
      readonly kind: "queryable";
      readonly compensate?: Compensate<NoInfer<Result>, Payload>;
      /** Looks whether the effect has happened: its result, or undefined if it has not. Asked before another try. */
      readonly query: (step: StepContext<Payload>) => Promise<NoInfer<Result> | undefined> | NoInfer<Result> | undefined;
    }
);

/** The effect's queries go through `transaction`: what does not is no part of it. */
export type TransactionalEffect<Result, Transaction, Payload = unknown> = (step: StepContext<Payload>, transaction: Transaction) => Promise<Result> | Result;

/**
 * The effect and the record of it are one transaction of `database`: it happens exactly once, also when the worker is killed at the commit
 * and when the run store has lost the run.
 */
export interface TransactionalOptions<Result, Transaction, Payload = unknown> {
  readonly kind: "transactional";
  readonly database: TransactionalDatabase<Transaction>;
  readonly fallbacks?: readonly Fallback<Result, Payload>[];
  readonly compensate?: Compensate<NoInfer<Result>, Payload>;
}
