/** What the commands on runs are given. */
import type { ByOptions } from "./by-hand.ts";
import type { RunState } from "../core/run.ts";

export interface RunsOptions {
  readonly config?: string;
  readonly source?: string;
  readonly json?: boolean;
}

export interface ListOptions extends RunsOptions {
  readonly state: readonly RunState[];
  readonly skill: readonly string[];
  readonly type: readonly string[];
  readonly olderThan?: number;
  readonly limit: number;
}

export interface ShowRunOptions extends RunsOptions {
  readonly results?: boolean;
}

export interface ExplainOptions extends RunsOptions {
  readonly forwardedTo?: string;
  readonly log: readonly string[];
  readonly peek: number;
}

export interface ChangeOptions extends RunsOptions, ByOptions {
  readonly forwardedTo?: string;
  readonly reason: string;
  readonly dryRun?: boolean;
}

export interface DeleteOptions extends ChangeOptions {
  readonly yes?: boolean;
}

export interface ResumeOptions extends ChangeOptions {
  readonly message?: string;
  readonly repeatInDoubt?: boolean;
  readonly wait: number;
}

export interface ReleaseOptions extends Omit<ResumeOptions, "repeatInDoubt"> {
  readonly step?: string;
  readonly done?: boolean;
  readonly notDone?: boolean;
  readonly result?: string;
  /** Of many runs, by their group or by skill and step. */
  readonly group: readonly string[];
  readonly skill?: string;
  readonly count?: number;
}

export interface ForkOptions extends ChangeOptions {
  readonly repeatInDoubt?: boolean;
  readonly step: string;
  readonly as?: string;
  readonly patch?: string;
  readonly message?: string;
}
