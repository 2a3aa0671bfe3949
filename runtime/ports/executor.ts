import type { HeaderValue } from "../core/delivery.ts";
import type { Route } from "../core/event-envelope.ts";
import type { Allowance, Usage } from "../core/limits.ts";
import type { GarbageExtent } from "../core/memory.ts";
import type { CallReport, FellBack, RunAnswer } from "../core/outcome.ts";
import type { StepRecord } from "../core/run.ts";
import type { SkillMessage } from "../core/skill-message.ts";
import type { RunTrace } from "../core/spans.ts";

/** One run to execute. */
export interface RunOrder {
  /** Unique on this worker for its lifetime. */
  readonly runId: number;
  readonly skill: string;
  /** Number of its source among the consumers that the executor was made with; part of the keys of its effects. */
  readonly source: number;
  readonly route: Route;
  readonly body: Uint8Array;
  /** `gzip`, `deflate`, `br` or undefined. */
  readonly contentEncoding: string | undefined;
  /** The application properties of a binary CloudEvent, or what an envelope hook read; else undefined. */
  readonly headers: Readonly<Record<string, HeaderValue>> | undefined;
  /** When the broker accepted the message, in its wall clock: the time of an event whose form carries none. */
  readonly enqueuedAtMs: number;
  readonly epoch: number;
  /** 1-based. */
  readonly attempt: number;
  /** How often the event was started over from its first step; part of the keys of its effects, which stay the same otherwise. */
  readonly generation: number;
  /** Milliseconds from now for which the claim is surely held; no effect starts later. `extend` moves it. */
  readonly leaseMs: number;
  /** Milliseconds the run may take. */
  readonly timeoutMs: number;
  /** Steps of an earlier execution. */
  readonly steps: readonly StepRecord[];
  /** It may end its thread: it gets one in which nothing else runs meanwhile. */
  readonly apart: boolean;
  /** The record was started by another shape of the skill: recorded steps must all be met before a new effect starts. */
  readonly pipelineChanged: boolean;
  /** An earlier execution may have left no record of its steps: the store has lost some since the event was enqueued. */
  readonly inDoubt: boolean;
  /** Numbers of dependencies that it has no slot of: their bulkheads are full, and its calls of them fail. */
  readonly rejectedBy: readonly number[];
  /** What it may use of the dependencies that are limited before it asks for more. */
  readonly allowances?: readonly Allowance[] | undefined;
  /** Of the session that its message is one of. */
  readonly sessionId?: string | undefined;
  /** What its message says of the span that made it, as it says it, where runs are traced. */
  readonly traceparent?: string | undefined;
}

export interface RunResult {
  readonly runId: number;
  readonly answer: RunAnswer;
  /** At most one a dependency. */
  readonly calls: readonly CallReport[];
  /** From start to answer inside the thread. */
  readonly durationMs: number;
  /** Of that, how long it waited until its steps were recorded. */
  readonly recordingMs: number;
  /** Of a run that is told of as spans. */
  readonly trace?: RunTrace | undefined;
}

/** A step that is to be recorded; unless its repeat is harmless, the run goes on only once it is. */
export interface StepRequest {
  readonly runId: number;
  /** Names this request in its acknowledgement. */
  readonly requestId: number;
  readonly step: StepRecord;
  /** Said of a step whose effect failed and that a fallback answered. */
  readonly fellBack?: FellBack | undefined;
}

export interface StepAcknowledgement {
  readonly runId: number;
  readonly requestId: number;
  /** `stale` stops the run without a trace; `unavailable` fails the step as transient: its effect must not begin. */
  readonly result: "written" | "stale" | "unavailable";
}

/** A run needs more of a dependency that is limited than it was allowed. */
export interface UsageRequest extends Usage {
  readonly runId: number;
  /** Names this request in its answer. */
  readonly requestId: number;
  /** Number of the dependency. */
  readonly dependency: number;
  /** How long the call can wait. */
  readonly waitMaxMs: number;
}

export interface UsageAnswer {
  readonly runId: number;
  readonly requestId: number;
  /** 0 when the call may go on; else how long there will be nothing. */
  readonly afterMs: number;
}

/** A thread whose event loop does not turn: something keeps it, and runs, past a run's time. */
export interface ThreadStuck {
  /** It turns again, by itself; a thread that was ended is a lost one. */
  readonly isOver: boolean;
  /** The run whose code holds it; empty where it is that of none, or is unknown. */
  readonly skill: string;
  readonly eventId: string;
  /** `file:line:column` of the plugin's own code; empty where that is unknown. */
  readonly at: string;
  /** For people to read. */
  readonly why: string;
  readonly forMs: number;
}

/** A thread that was to end and does not; `isOver` when it has after all. */
export interface ThreadLeaked {
  readonly isOver: boolean;
  readonly why: string;
  /** Such threads now. */
  readonly leaked: number;
}

/** A lost thread that could not be replaced is, after all. */
export interface ThreadReplaced {
  /** Why it was lost. */
  readonly why: string;
  /** Such threads that are still not. */
  readonly missing: number;
}

export interface ThreadsView {
  readonly stuck: number;
  readonly leaked: number;
  /** Lost ones that could not be replaced so far. */
  readonly missing: number;
}

/** What a run may ask for, and what it is told: the state of its session (null for none), or what its message was. */
export interface ToldRuns {
  readonly state: Uint8Array | null;
  readonly message: SkillMessage;
}

/** A run asks for what its thread does not have: few runs do, so it is not sent to all. */
export interface RunQuestion {
  readonly runId: number;
  /** Names this question in its answer. */
  readonly requestId: number;
  readonly about: keyof ToldRuns;
}

export interface QuestionAnswer extends Pick<RunQuestion, "runId" | "requestId"> {
  /** Undefined when it could not be had. */
  readonly said: ToldRuns[keyof ToldRuns] | undefined;
}

export interface ExecutorListener {
  steps(requests: readonly StepRequest[]): void;
  usage(requests: readonly UsageRequest[]): void;
  questions(questions: readonly RunQuestion[]): void;
  results(results: readonly RunResult[]): void;
  /** A thread ended and was, or could not be, replaced. `why` names the runs that it was at, three at most. */
  threadLost(why: string, replaced: boolean): void;
  threadReplaced(replaced: ThreadReplaced): void;
  threadStuck(stuck: ThreadStuck): void;
  threadLeaked(leaked: ThreadLeaked): void;
  /** Of some skills no thread is left, and none is tried to be started any more. */
  threadsDown(why: string): void;
}

/** For threads that run nothing. */
export const deafListener: ExecutorListener = {
  steps: () => undefined,
  usage: () => undefined,
  questions: () => undefined,
  results: () => undefined,
  threadLost: () => undefined,
  threadReplaced: () => undefined,
  threadStuck: () => undefined,
  threadLeaked: () => undefined,
  threadsDown: () => undefined,
};

/**
 * Runs skills on threads. Every posted run is answered exactly once through the listener, whatever becomes of its thread:
 * also past its deadline, when the thread hangs or cannot start. A run that its thread had not begun is moved to another one,
 * without an answer; only when it was moved too often, or no thread can be had, is it answered `not-started`. `thread-lost` and
 * `timed-out` are said of runs that were begun, or may have been.
 */
export interface Executor {
  start(listener: ExecutorListener): Promise<void>;
  /**
   * Posts runs; groups them into tasks sized by the measured work of each skill. Bodies must stay as they are until their run is
   * answered: a run that is moved to another thread is packed again.
   */
  post(orders: readonly RunOrder[]): void;
  acknowledge(acknowledgements: readonly StepAcknowledgement[]): void;
  /** Answers runs that asked for more of a dependency. */
  allow(answers: readonly UsageAnswer[]): void;
  /** Answers runs that asked for something. */
  tell(answers: readonly QuestionAnswer[]): void;
  /** Tells runs that their claim is held for `leaseMs` more from now. */
  extend(runIds: readonly number[], leaseMs: number): void;
  /** Asks runs to stop at their next step boundary (`interrupted`) or as taken over (`stale`). */
  interrupt(runIds: readonly number[], as: "interrupted" | "stale"): void;
  /** Posted runs that no thread has begun. */
  readonly unbegun: number;
  /** Of these, those for the threads that skills share. */
  readonly unbegunShared: number;
  /** How long code of the skill's runs has held the event loops of threads since the start, over all of them. */
  heldMs(skill: string): number;
  /** Memory runs short, or there is nothing to do: threads give back what they do not use. */
  collectGarbage(extent: GarbageExtent): void;
  readonly threads: ThreadsView;
  /** Whether threads are running and able to take work. */
  isReady(): boolean;
  /** Ends the threads; runs with a thread are answered `thread-lost`, those that wait for one and later ones `not-started`. Idempotent. */
  stop(): Promise<void>;
}
