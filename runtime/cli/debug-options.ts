/** What `holdfast debug` is given. */
export interface DebugOptions {
  readonly config?: string;
  readonly source?: string;
  readonly forwardedTo?: string;
  readonly json?: boolean;
  /** Of a file that holds several dead letters. */
  readonly event?: string;
  readonly stubs?: string;
  readonly sessionState?: string;
  readonly inspect?: string | true;
  readonly inspectBrk?: string | true;
  readonly toTest?: string | true;
  readonly keepPayload?: boolean;
  readonly native?: boolean;
}
