/** What `holdfast reconcile` is given. */
import type { ByOptions } from "./by-hand.ts";

export interface ReconcileCommandOptions extends ByOptions {
  readonly config?: string;
  readonly source?: string;
  readonly forwardedTo?: string;
  readonly json?: boolean;
  readonly apply?: boolean;
  readonly quietFor: number;
  readonly peek: number;
  readonly limit: number;
}
