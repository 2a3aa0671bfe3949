/** What the commands on runs are given. */
import type { RunState } from "../core/run.ts";

export interface RunsOptions {
  readonly config?: string;
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
