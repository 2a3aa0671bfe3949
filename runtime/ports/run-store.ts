import type { Death } from "../core/death.ts";
import type { ByHand, HistoryEntry } from "../core/history.ts";
import type { ReplayOrder } from "../core/replay-order.ts";
import type { RunView, StepRecord } from "../core/run.ts";
import type { StoreSuspicion } from "../core/store-suspicion.ts";

/** Asks for one run. */
export interface ClaimRequest {
  readonly eventId: string;
  /**
   * Made by the caller, unique a delivery. A claim that is asked again with the token that holds it is answered as before,
   * so that a lost reply does no harm.
   */
  readonly token: string;
  /** Of the payload (see `core/payload-hash.ts`); another hash under the same eventId is `reused`. */
  readonly payloadHash: string;
  /** Of the skill's name and steps, as it is now. */
  readonly pipelineHash: string;
}

export type ClaimResult =
  /** The caller owns the run until its lease ends. `pipelineHash` is the one the first claim recorded. */
  | {
      readonly kind: "acquired";
      readonly epoch: number;
      /** As in `RunView`. A claim of a run whose lease was over counts one more loss. */
      readonly failures: number;
      readonly losses: number;
      readonly generation: number;
      readonly restarts: number;
      readonly pipelineHash: string;
      readonly steps: readonly StepRecord[];
    }
  /** It was finished before; `outbox` is not empty when its events may not have been published. */
  | { readonly kind: "done"; readonly outbox: Uint8Array }
  /** It was given up before (dead or parked); the message still has to be dead-lettered, unless `revive` brings the run back. */
  | { readonly kind: "dead"; readonly reason: string; readonly history: readonly HistoryEntry[] }
  /** Someone owns it for at least this long, by the store's clock. */
  | { readonly kind: "held"; readonly forMs: number }
  /** The eventId is known with another payload. */
  | { readonly kind: "reused" };

/**
 * Every write names the epoch it was given; `stale` when another claim has raised it since (nothing was written). `cancelling`: it was
 * written, and the run has been called off: it is to stop at its next step boundary. Of checkpoints and extensions alone; a claim that ends
 * as `waiting` then ends the run, or has it compensated.
 */
export type WriteResult = "written" | "cancelling" | "stale";

/** A write under a claim. */
export interface EpochWrite {
  readonly eventId: string;
  readonly epoch: number;
}

export interface CheckpointWrite extends EpochWrite {
  readonly step: StepRecord;
}

export interface FinishWrite extends EpochWrite {
  /** Encoded events to publish; empty for none. */
  readonly outbox: Uint8Array;
  /** Steps that are not on record yet, in their order: written before the end, in the same write. */
  readonly steps?: readonly StepRecord[] | undefined;
}

export interface FailWrite extends EpochWrite {
  /** `waiting` lets the next claim in at once; `dead` and `parked` end the run. */
  readonly state: "waiting" | "dead" | "parked";
  /** At most 200 characters. */
  readonly reason: string;
  /** Whether the claim counts as failed: 0 for a postponement or a release. */
  readonly failures: 0 | 1;
  /** Executions under this claim that ended with their thread, and are laid to this run's own account; 0 to 100. */
  readonly losses: number;
  /** Kept in the history of a run that ends. */
  readonly death?: Death | undefined;
  /** Encoded without its time, and kept with the last ones of the run; nothing where it is left out. */
  readonly setback?: string | undefined;
}

/**
 * What brings a run back that was given up. `resend`: a message of it that was enqueued then, by the broker's clock, after its
 * last death. `replay`: an order, which does so once.
 */
export type Revival =
  | { readonly by: "resend"; readonly enqueuedAtMs: number }
  | ({
      readonly by: "replay";
      /** Of the message that carries the order; the run's own from now on. */
      readonly payloadHash: string;
    } & ReplayOrder);

export interface ReviveRequest {
  readonly eventId: string;
  readonly revival: Revival;
  /** Of the caller's claim, when it has one: a run that is on its way is given its attempts again by an order. 0 for none. */
  readonly epoch: number;
}

/** `refused`: the run is as it was. It is not given up, the message is older than its death, or the order was carried out before. */
export type ReviveResult = "revived" | "refused";

/**
 * The shared record of runs of one consumer, changed only by atomic operations. Every method takes a batch, answers in its
 * order, and rejects with `StoreUnavailableError` when the store is down or did not answer in time: then nothing is known of
 * the batch; or with `StorePartlyUnavailableError`, which names the entries of which nothing is known. Any other rejection, such as `StoreRefusedError`, says that the store serves and refuses this batch: its entries are then
 * tried in smaller batches, until the one at fault is found. No method is retried inside. A batch may name a run twice; its entries apply in order.
 */
export interface RunStore {
  /** How many calls of one kind it takes at once without each taking longer for it; left out where calls wait for each other. */
  readonly callsAtOnce?: number;
  /** Connects and checks what the store must be (on Redis: `noeviction`); rejects with `ConfigurationError` or `StoreUnavailableError`. */
  start(): Promise<void>;
  /** Idempotent. */
  stop(): Promise<void>;
  /**
   * Text that no one outside can guess, the same for every worker of the consumer and after every restart: made with the
   * consumer's first record of anything, and kept as long as the store forgets nothing.
   */
  secret(): Promise<string>;
  /** Whether the store, or a part of it, answers and takes writes now. Never rejects. */
  ping(): Promise<boolean>;
  /** Claims free, waiting or lapsed runs; taking one over raises its epoch. Leases last `leaseMs` by the store's clock. */
  claim(requests: readonly ClaimRequest[], leaseMs: number): Promise<readonly ClaimResult[]>;
  /** Stores steps; a step of the same name is replaced. */
  checkpoint(writes: readonly CheckpointWrite[]): Promise<readonly WriteResult[]>;
  /** Marks runs done with their outbox, in one write each; keeps their steps readable. */
  finish(writes: readonly FinishWrite[]): Promise<readonly WriteResult[]>;
  /** Forgets the outbox of done runs, after publishing. */
  clearOutbox(eventIds: readonly string[]): Promise<void>;
  /** Ends the claim without success. */
  fail(writes: readonly FailWrite[]): Promise<readonly WriteResult[]>;
  /**
   * Brings runs back: the next claim gets them, one generation later and with no failure and no loss counted, behind their last
   * step or without any. What brought them back is kept in their history.
   */
  revive(requests: readonly ReviveRequest[]): Promise<readonly ReviveResult[]>;
  /** Notes in the history of runs that their dead letters were deleted, why, and by whom; unknown runs are left alone. */
  close(eventIds: readonly string[], by: ByHand): Promise<void>;
  /** Makes leases last `leaseMs` from now. */
  extend(writes: readonly EpochWrite[], leaseMs: number): Promise<readonly WriteResult[]>;
  /** Reads one run; undefined when it is unknown or past its retention. */
  read(eventId: string): Promise<RunView | undefined>;
}

/** `sentinel`: records of this consumer are gone; `failover`: another server answers, and last writes are gone or may be. */
export type Forgetting = "sentinel" | "failover";

/**
 * What is remembered of a store outside of it. A store that was emptied, or whose file was replaced, looks like one that is used
 * for the first time; only who remembers another can tell.
 */
export interface StoreMemory {
  /** The mark of the store that was met last; undefined when there was none, or nothing could be kept. */
  recall(): string | undefined;
  /** Never throws. */
  keep(mark: string): void;
}

/** What every adapter is made with. */
export interface RunStoreOptions {
  /** The entity that is read; it separates the runs of different consumers in one store. */
  readonly consumer: string;
  /** How long a record outlives its last write. It must exceed message time-to-live plus replay horizon. */
  readonly retentionMs: number;
}

/** For a store that can lose what was written. */
export interface ForgettingOptions {
  /** Without it, a loss before the start is seen only where the store itself shows traces of it. */
  readonly memory?: StoreMemory;
  /** Told before a start or claim is answered that shows the store to have lost records; `concerns` says whether this event's may be among them. */
  readonly onForgotten?: (what: Forgetting, concerns?: (eventId: string) => boolean) => void;
  /**
   * Told before a start or claim is answered that shows that records were lost or may have been, by whichever worker it was
   * noticed. What was lost before then is not to be told from what never was.
   */
  readonly onSuspect?: (suspicion: StoreSuspicion) => void;
  /** It looks, and notes nothing of what it finds. */
  readonly isObserver?: boolean;
}
