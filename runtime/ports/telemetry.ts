import type { RuntimeEvent } from "../core/catalogue.ts";
import type { Delivery, HeaderValue } from "../core/delivery.ts";
import type { Route } from "../core/event-envelope.ts";
import type { Lineage } from "../core/lineage.ts";
import type { CallReport } from "../core/outcome.ts";
import type { TraceParent } from "../core/trace-context.ts";

/** How a delivery ended, for counting. */
export type FinalOutcome = "completed" | "duplicate" | "dead-lettered" | "retried" | "postponed" | "released" | "dropped";

/** The run of a delivery, to name it by. */
interface NamedRun {
  /** Empty when it could not be read. */
  readonly eventId: string;
  /** Number of its last execution, as the skill sees it; 0 when none began. */
  readonly attempt: number;
}

export interface SettledRun extends NamedRun, Partial<Pick<AboutMessage, "delivery" | "headers" | "span">> {
  /** In lanes, of its last claim. */
  readonly waitedMs: number;
  /** What its source's runs are kept under. */
  readonly consumer?: string;
  /** When its skill was known, it was claimed, and its execution ended, monotonic; 0 for what it did not come to. */
  readonly cameMs?: number;
  readonly claimedMs?: number;
  readonly ranMs?: number;
}

/** The message that an event is about. It is held while the event is emitted, and no longer: who needs it later keeps what it needs. */
export interface AboutMessage extends NamedRun {
  /** What its source's runs are kept under. */
  readonly consumer: string;
  readonly delivery: Delivery;
  /** Undefined where it could not be read. */
  readonly route: Route | undefined;
  /** Whose event it was found to be; empty while it is nobody's. */
  readonly skillName?: string;
  /** What an envelope hook read of it, or the attributes of a binary CloudEvent. */
  readonly headers: Readonly<Record<string, HeaderValue>> | undefined;
  /** 0 while the run is not claimed. */
  readonly epoch: number;
  /** What stands for the delivery in its trace; undefined where deliveries are not traced. Made when somebody asks. */
  readonly span?: TraceParent | undefined;
}

/** The event that something is about, once its message is held no more. */
export interface AboutEvent {
  readonly eventId: string;
  readonly lineage: Lineage;
  /** It is itself an event that was sent to the platform. */
  readonly ofPlatform: boolean;
}

/** Where the runtime reports what happens. Calls are cheap, synchronous and never throw. */
export interface Telemetry {
  /** Once a delivery. `latencyMs`: from the broker's enqueue time to settlement, wall clock. `skill` is empty when none was found. */
  settled(outcome: FinalOutcome, skill: string, latencyMs: number, run: SettledRun): void;
  /** `about`: the message that it concerns, where there is one. */
  emit(event: RuntimeEvent, about?: AboutMessage | AboutEvent): void;
}

/** Hears of executions. Calls are cheap, synchronous and never throw. */
export interface ExecutionMeter {
  /** Once an execution that a thread has answered, however it ended. `durationMs`: inside the thread. */
  executed(skill: string, durationMs: number, calls: readonly CallReport[]): void;
}

/** What sends reports elsewhere while the worker works. It may get events before it starts. */
export interface Reporter {
  /** `secret` is the consumer's; see message-ids.ts. */
  start(secret: string): void;
  /** Of one that loads something after its start: resolves when that is done, or will not be. */
  readonly loaded?: Promise<void>;
  /** Sends what is left. */
  stop(): Promise<void>;
  /** The time for that is over. */
  giveUp(): void;
}
