/** What the commands on dead letters are given. */
import type { ByOptions } from "./by-hand.ts";
import type { ResumeFrom } from "../core/history.ts";

export interface DlqOptions {
  readonly config?: string;
  readonly source?: string;
  readonly forwardedTo?: string;
  readonly json?: boolean;
}

export interface SelectOptions extends DlqOptions {
  readonly group: readonly string[];
  readonly event: readonly string[];
}

export interface ShowOptions extends SelectOptions {
  readonly limit: number;
  readonly bodies?: boolean;
}

export interface ExportOptions extends SelectOptions {
  readonly out?: string;
}

export interface PurgeOptions extends SelectOptions, ByOptions {
  readonly all?: boolean;
  readonly count: number;
  readonly reason: string;
}

export interface ReplayCommandOptions extends SelectOptions, ByOptions {
  readonly all?: boolean;
  readonly run?: boolean;
  readonly inBackground?: boolean;
  readonly status?: boolean;
  readonly from: ResumeFrom;
  readonly repeatInDoubt?: boolean;
  readonly patch?: string;
  readonly reason: string;
  readonly perSecond: number;
  readonly wait: number;
  readonly failuresMax: number;
}
