/** What `holdfast reconcile` is given. */
export interface ReconcileCommandOptions {
  readonly config?: string;
  readonly source?: string;
  readonly forwardedTo?: string;
  readonly json?: boolean;
  readonly apply?: boolean;
  readonly quietFor: number;
  readonly peek: number;
  readonly limit: number;
}
