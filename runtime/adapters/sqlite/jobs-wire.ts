/** What a recovery queue asks of the store's thread, and what it is answered. */
import type { AddResult, JobCounts, JobRetry, JobView, NewJob } from "../../ports/recovery-queue.ts";

export interface TakeJobs {
  readonly ask: "take";
  /** Of these kinds alone. */
  readonly kinds: readonly string[];
  readonly count: number;
  /** Made by the caller, unique a call: names the lease. */
  readonly token: string;
  readonly leaseMs: number;
}

/** How a job under a lease ends, for now or for good. */
export type JobEnd =
  | { readonly kind: "done" }
  /** `failures` and `failure` are what is said of its tries from now on. */
  | { readonly kind: "again"; readonly afterMs: number; readonly data: string; readonly failures: number; readonly failure: string }
  | { readonly kind: "failed"; readonly failures: number; readonly failure: string };

export interface TakenJob {
  readonly row: number;
  readonly token: string;
  readonly kind: string;
  readonly id: string;
  /** JSON. */
  readonly data: string;
  readonly retry: JobRetry;
  readonly failures: number;
}

export interface TakenJobs {
  readonly jobs: readonly TakenJob[];
  /** Jobs that were kept as failed now: too many workers have ended at them. */
  readonly lost: readonly Pick<TakenJob, "kind" | "id">[];
  /** How long until something may be due; undefined where nothing waits. */
  readonly nextInMs: number | undefined;
}

export type JobsAsk =
  | { readonly ask: "add"; readonly job: Omit<Required<NewJob>, "data"> & { readonly data: string } }
  | TakeJobs
  /** Answers the rows of leases that are over. */
  | { readonly ask: "renew"; readonly leases: readonly Pick<TakenJob, "row" | "token">[]; readonly leaseMs: number }
  | { readonly ask: "end"; readonly lease: Pick<TakenJob, "row" | "token">; readonly end: JobEnd }
  | { readonly ask: "hurry" | "remove" | "find"; readonly kind: string; readonly id: string }
  | { readonly ask: "list"; readonly kind: string }
  | { readonly ask: "counts" };

/** By what is asked. */
export interface JobsAnswers {
  readonly add: AddResult;
  readonly take: TakenJobs;
  readonly renew: readonly number[];
  readonly end: undefined;
  readonly hurry: boolean;
  readonly remove: boolean;
  readonly find: JobView | undefined;
  readonly list: readonly JobView[];
  readonly counts: JobCounts;
}

/** Where the jobs lie: a run store on SQLite, in its thread or in ours. */
export interface JobsPlace {
  jobs<Ask extends JobsAsk>(ask: Ask): Promise<JobsAnswers[Ask["ask"]]>;
}
