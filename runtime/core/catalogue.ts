import type { SweepForm } from "./sweep.ts";
import type { DeathClass } from "./death.ts";
import type { StepQuality } from "./run.ts";
import type { DoubtScope } from "./store-suspicion.ts";

/** What keeps a worker from taking more of a skill's messages from a source; see `intakeBounds`. */
export type IntakeBound = (typeof intakeBounds)[number];

/**
 * `rate`: no more can begin soon; `memory`: it runs short, or what is held fits its budget of bytes no more; `bulkhead`: of a dependency it is full, or the circuit
 * open; `limit`: runs of the skill wait for one of its `concurrentMax`, or for a rate limit; `order`: each session has one message here; `ceiling`: `inFlightMax`.
 */
export const intakeBounds = ["rate", "memory", "bulkhead", "limit", "order", "ceiling"] as const;

/**
 * Every event that the runtime emits about itself, in one table. Fields are plain values, safe to log and to label by. `eventId` is the
 * event's own, whatever message or copy of one brought it, and empty when it could not be read. `attempt` is the number of the
 * execution that it is about, the one that the skill sees as `context.attempt`; 0 when none began.
 */
export type RuntimeEvent =
  | { readonly type: "worker.started"; readonly sources: string; readonly skills: number; readonly threads: number }
  /** A plugin kept a thread from being ready for long; `thread` is `main` for the one that all skill threads wait for. `skill` is empty for the plugin as a whole. */
  | {
      readonly type: "plugin.slow";
      readonly plugin: string;
      readonly skill: string;
      readonly part: "import" | "payload schema" | "warmUp";
      readonly tookMs: number;
      readonly thread: "main" | "skills";
    }
  | { readonly type: "worker.stopping"; readonly inFlight: number }
  | { readonly type: "worker.stopped"; readonly returned: number }
  /** A probe of this consumer was completed without having been run, because this worker does not know its version, or cannot read it. */
  | { readonly type: "probe.passed-by"; readonly eventId: string; readonly reason: string; readonly description: string }
  /** An execution failed, or its message was refused before one began (`attempt` is 0). What becomes of it is an event of its own. */
  | {
      readonly type: "run.failed";
      readonly eventId: string;
      readonly skill: string;
      readonly attempt: number;
      readonly class: DeathClass;
      readonly code: string;
      /** Empty where the failure was in none. */
      readonly step: string;
      readonly description: string;
    }
  | {
      readonly type: "run.resumed";
      readonly eventId: string;
      readonly skill: string;
      readonly attempt: number;
      readonly stepsDone: number;
      readonly epoch: number;
    }
  | {
      readonly type: "run.retrying";
      readonly eventId: string;
      readonly skill: string;
      readonly attempt: number;
      readonly delayMs: number;
      readonly code: string;
      readonly description: string;
    }
  /** An execution ended with its thread, which another run may have ended: it counts as no attempt, and the run starts again under the same number. */
  | {
      readonly type: "run.restarting";
      readonly eventId: string;
      readonly skill: string;
      readonly attempt: number;
      readonly delayMs: number;
      readonly code: string;
      readonly description: string;
    }
  /** A critical run has failed for good: its steps are compensated, then it is dead-lettered. */
  | {
      readonly type: "run.compensating";
      readonly eventId: string;
      readonly skill: string;
      readonly attempt: number;
      readonly reason: string;
      readonly steps: number;
    }
  /** Its message is over before its compensations are: the message is dead-lettered, and the recovery queue goes on with them. */
  | {
      readonly type: "recovery.handed-over";
      readonly eventId: string;
      readonly skill: string;
      readonly attempt: number;
      readonly reason: string;
      readonly why: string;
    }
  /** Nobody was at a run under compensation: a message was sent for it, one of so many. */
  | { readonly type: "recovery.continued"; readonly eventId: string; readonly sent: number }
  /** A run whose own message was dead-lettered before has ended, by a message that was sent for it. */
  | {
      readonly type: "recovery.ended";
      readonly eventId: string;
      readonly skill: string;
      readonly attempt: number;
      readonly reason: string;
      readonly description: string;
    }
  /** A job of the recovery queue failed; `isFinal`: it is not tried again. */
  | { readonly type: "recovery.job-failed"; readonly kind: string; readonly id: string; readonly error: string; readonly isFinal: boolean }
  /** The recovery queue cannot be used; its jobs wait. */
  | { readonly type: "recovery.down"; readonly error: string }
  | { readonly type: "recovery.up" }
  | SweptEvent
  /** A sweep has found that a run's record and its messages disagree. `result`: what became of it; `error` is empty where it did not fail. */
  | {
      readonly type: "recovery.disagreement";
      readonly eventId: string;
      readonly kind: string;
      readonly what: string;
      readonly result: "found" | "mended" | "moved" | "failed";
      readonly error: string;
    }
  /** The compensation of a step has ended. `code` is empty where it did not fail. */
  | {
      readonly type: "step.compensated";
      readonly eventId: string;
      readonly skill: string;
      readonly attempt: number;
      readonly step: string;
      readonly outcome: "compensated" | "not-needed" | "failed";
      readonly code: string;
    }
  /** A step's effect failed with this code, and a fallback answered in its place; the answer is durable. */
  | {
      readonly type: "step.fell-back";
      readonly eventId: string;
      readonly skill: string;
      readonly attempt: number;
      readonly step: string;
      readonly fallback: string;
      readonly quality: StepQuality;
      readonly code: string;
    }
  | { readonly type: "run.postponed"; readonly eventId: string; readonly why: string; readonly delayMs: number }
  | {
      readonly type: "run.dead-lettered";
      readonly eventId: string;
      readonly messageId: string;
      readonly skill: string;
      readonly attempt: number;
      readonly reason: string;
      readonly description: string;
      /** Of the failure that it died of. */
      readonly class: DeathClass;
      readonly code: string;
      readonly step: string;
      readonly fingerprint: string;
    }
  /** An event that was given up is brought back: by a replay, or by a message of it that was sent again. */
  | {
      readonly type: "run.revived";
      readonly eventId: string;
      readonly skill: string;
      readonly by: "resend" | "replay";
      readonly from: "checkpoint" | "start";
    }
  /** Runs were taken over whose worker ended without returning them: they are tried carefully, a few at a time or alone. */
  | { readonly type: "suspects.found"; readonly runs: number }
  /** Handling it threw, while others of its group went on: a defect of the worker. A claimed run has failed by it, other messages are handed back. */
  | { readonly type: "message.broken"; readonly eventId: string; readonly stage: string; readonly error: string }
  | { readonly type: "run.stale"; readonly eventId: string; readonly skill: string }
  | { readonly type: "lock.lost"; readonly eventId: string; readonly where: "renew" | "settle" }
  | { readonly type: "circuit.changed"; readonly dependency: string; readonly state: "closed" | "open" | "half-open" | "isolated" }
  /** Rate limits could not be drawn on: runs that need one are postponed until they can be. */
  | { readonly type: "limits.unavailable"; readonly error: string }
  | { readonly type: "limits.recovered"; readonly downMs: number }
  | { readonly type: "store.down"; readonly error: string }
  | { readonly type: "store.up"; readonly downMs: number }
  /** The store lost records (a failover, or someone emptied it): events done before may run again. */
  | { readonly type: "store.forgot"; readonly what: "sentinel" | "failover" }
  | StoreSuspectEvent
  | CredentialEvent
  | SecretChangedEvent
  | SettingsChangedEvent
  /** The broker's clock is so far ahead of ours, or behind (less than 0); emitted again when that changes. The broker's times are computed by its own clock. */
  | { readonly type: "clock.skewed"; readonly brokerAheadMs: number }
  | {
      readonly type: "source.down";
      readonly source: string;
      readonly trouble: "missing" | "disabled" | "forbidden" | "refused" | "unreachable";
      readonly error: string;
    }
  /** It serves again; `downMs` is how long it had not. */
  | { readonly type: "source.up"; readonly source: string; readonly downMs: number }
  /** Receiving was disturbed for another reason than what `source.down` tells of the entity. */
  | { readonly type: "transport.disturbed"; readonly source: string; readonly error: string }
  /** The first messages came after it was disturbed. */
  | { readonly type: "transport.recovered"; readonly source: string; readonly afterMs: number }
  /** Messages could not be sent to an entity, with all their retries. What they belong to is retried later, or dead-lettered where they can never be sent. */
  | { readonly type: "send.failed"; readonly entity: string; readonly messages: number; readonly error: string }
  | { readonly type: "receiver.rebuilt"; readonly source: string; readonly why: string }
  /** A new receiver had not helped. */
  | { readonly type: "connection.rebuilt"; readonly source: string; readonly why: string }
  | { readonly type: "thread.lost"; readonly why: string; readonly replaced: boolean }
  /** A thread whose loss was told as not replaced is replaced after all; `missing` others are not yet. */
  | { readonly type: "thread.replaced"; readonly why: string; readonly missing: number }
  /** A thread lets nothing in any more, and a run is past its time because of that; `end`: it does again, by itself. The texts are empty where nothing is known. */
  | {
      readonly type: "thread.stuck";
      readonly state: "begin" | "end";
      readonly skill: string;
      readonly eventId: string;
      /** `file:line:column` of the plugin's own code. */
      readonly at: string;
      readonly why: string;
      readonly forMs: number;
    }
  /** A thread was to end and does not, or does after all (`end`); `leaked` do not now. With `leakedMax` of them the worker stops, to be restarted. */
  | { readonly type: "thread.leaked"; readonly state: "begin" | "end"; readonly why: string; readonly leaked: number; readonly leakedMax: number }
  /** The process's memory came near its limit, or went away from it: fewer messages are taken while it is `tight`, none beside those that it holds while it is `short`. */
  | { readonly type: "memory.changed"; readonly state: "ample" | "tight" | "short"; readonly usedBytes: number; readonly limitBytes: number }
  /** The main thread's event loop is late by up to `delayMs`, or no more: fewer messages are taken while it is `tight`, none while it is `short`. */
  | { readonly type: "loop.changed"; readonly state: "ample" | "tight" | "short"; readonly delayMs: number }
  /**
   * As many messages of a skill as a worker holds from a source came to be more or fewer by half, or no run of the skill has ended for `stillMs`, far
   * longer than they take. `held`: of the skill from the source; `heldOfSource`: of all skills; `running`, `waiting`: runs of the skill under way, and that wait for one of its `concurrentMax`;
   * `behind`: dependencies that it uses and that runs are in; `loopUse`: the part of the threads' time in which the skill's runs hold their event loops, 0 to 1.
   */
  | {
      readonly type: "worker.intake";
      readonly source: string;
      readonly skill: string;
      readonly window: number;
      readonly windowBefore: number;
      readonly boundBy: IntakeBound;
      readonly held: number;
      readonly heldOfSource: number;
      readonly concurrentMax: number;
      readonly running: number;
      readonly waiting: number;
      readonly stillMs: number;
      readonly behind: string;
      readonly loopUse: number;
    }
  /** What may wait is given back so that more important events are run, or is not any more. `why`: what is, or was, over its bounds; `shed`: messages since it began. */
  | {
      readonly type: "load-shedding.changed";
      readonly state: "shedding" | "off";
      readonly why: "queue-age" | "memory" | "loop";
      readonly queueAgeMs: number;
      readonly shed: number;
    }
  /** A skill's runs take longer than they usually do, or no longer do: on average lately, and usually. */
  | {
      readonly type: "latency.drifted";
      readonly skill: string;
      readonly state: "usual" | "slow" | "very-slow";
      readonly latencyMs: number;
      readonly usualMs: number;
    }
  /** A dependency's calls take longer than they usually do, or no longer do: on average lately, and usually. */
  | {
      readonly type: "dependency.drifted";
      readonly dependency: string;
      readonly state: "usual" | "slow" | "very-slow";
      readonly latencyMs: number;
      readonly usualMs: number;
    }
  /** A rule's threshold was reached here; another worker of the pool may have come to the same. `channels` are names. */
  | {
      readonly type: "escalation.raised";
      readonly eventId: string;
      readonly escalationId: string;
      readonly rule: string;
      readonly counted: string;
      readonly critical: boolean;
      readonly count: number;
      readonly windowMs: number;
      readonly channels: string;
    }
  | {
      readonly type: "escalation.sent";
      readonly eventId: string;
      readonly escalationId: string;
      readonly rule: string;
      readonly counted: string;
      readonly critical: boolean;
      readonly count: number;
      readonly windowMs: number;
      readonly channel: string;
      readonly attempt: number;
    }
  /** A channel did not take it. `isFinal`: it is not tried again. */
  | {
      readonly type: "escalation.failed";
      readonly eventId: string;
      readonly escalationId: string;
      readonly rule: string;
      readonly channel: string;
      readonly attempt: number;
      readonly isFinal: boolean;
      readonly error: string;
    }
  /** Thresholds count the failures of the whole pool, or of this worker alone: there is nothing that they share, or it does not answer (`error`). */
  | { readonly type: "escalation.counting"; readonly by: "worker" | "pool"; readonly error: string }
  /** There were too many others in this hour. */
  | { readonly type: "escalation.held-back"; readonly rule: string; readonly counted: string }
  /** Events for the platform that were not sent: there were too many (`rate`, `buffer`), the broker refused them, or the worker ended first. */
  | { readonly type: "platform-events.lost"; readonly events: number; readonly why: "rate" | "buffer" | "refused" | "stop"; readonly error: string }
  /** Spans that were not exported: too many waited, nobody took them, or the worker ended first. */
  | { readonly type: "traces.lost"; readonly spans: number; readonly why: "buffer" | "refused" | "stop"; readonly error: string }
  /** The same of lines of the log. */
  | { readonly type: "logs.lost"; readonly lines: number; readonly why: "buffer" | "refused" | "stop"; readonly error: string };

/** A sweep over records and messages has ended; `isWhole`: all messages were looked at. What it only `found` is left as it is. */
export interface SweptEvent {
  readonly type: "recovery.swept";
  readonly form: SweepForm;
  readonly found: number;
  readonly mended: number;
  readonly moved: number;
  readonly failed: number;
  readonly records: number;
  readonly messages: number;
  readonly letters: number;
  readonly isWhole: boolean;
}

/**
 * The store lost records `lostAgoMs` ago, or may have. From `begin` on, and for `forMs`, steps of events from before then that have
 * no record are not simply executed: what must happen at most once is parked, what can be looked for is looked for first. `extended`:
 * a part of it that had lost records before did so again. Parts that lose them one after the other begin it once. `scope`: `all` such
 * events, or those alone whose message was delivered before, because the store has shown that it kept the others' records.
 */
export interface StoreSuspectEvent {
  readonly type: "store.suspect";
  readonly state: "begin" | "extended" | "end";
  readonly scope: DoubtScope;
  readonly lostAgoMs: number;
  readonly forMs: number;
}

/** A live document was applied, refused as a whole, or taken back because the worker was not ready any more. `changes`: in words, each from → to. */
export interface SettingsChangedEvent {
  readonly type: "settings.changed";
  readonly state: "applied" | "refused" | "rolled-back";
  readonly from: "file" | "app-configuration";
  readonly changes: string;
  readonly error: string;
}

/** A secret of the configuration that lies elsewhere has another value (`replaced`), or could not get it and keeps the one before. `setting`: its key; `place`: where it lies. */
export interface SecretChangedEvent {
  readonly type: "secret.changed";
  readonly state: "replaced" | "refused";
  readonly setting: string;
  readonly place: string;
  readonly error: string;
}

/**
 * The token of a login cannot be replaced and ends in `leftMs` (`begin`); it is about to end, and nothing is received until there is
 * another (`ending`); there is, and it lasts for `leftMs` (`end`). `failures` counts the tries since the last that succeeded.
 */
export interface CredentialEvent {
  readonly type: "credential.failing";
  readonly state: "begin" | "ending" | "end";
  readonly login: string;
  readonly leftMs: number;
  readonly failures: number;
  readonly error: string;
}
