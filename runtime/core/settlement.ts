import type { DeathCause } from "./death.ts";

/** What is to become of a delivery, decided once from the outcome, the history and the policy. */
export type Settlement =
  | { readonly kind: "complete" }
  /** Run again here, under the same claim, after the delay; `apart`: in a thread where nothing else runs meanwhile. */
  | { readonly kind: "retry-now"; readonly apart: boolean; readonly delayMs: number; readonly code: string; readonly description: string }
  /** Schedule a copy, then complete the original. */
  | { readonly kind: "retry-later"; readonly delayMs: number; readonly code: string; readonly description: string }
  /** Without a `cause` the message itself is at fault: it is poison, and the reason says all. */
  | { readonly kind: "dead-letter"; readonly reason: string; readonly description: string; readonly state: "dead" | "parked"; readonly cause?: DeathCause }
  /** It is dead-lettered, and its compensations are left to the recovery queue, which goes on with them from its record. */
  | { readonly kind: "hand-over"; readonly reason: string; readonly description: string; readonly cause?: DeathCause }
  /** Like `retry-later`, but it was never tried: no attempt is counted. `dependency`: which one it waits for, where it is known. */
  | { readonly kind: "postpone"; readonly delayMs: number; readonly why: PostponeReason; readonly dependency?: string | undefined }
  /** Hand it back to the broker now, for any worker. */
  | { readonly kind: "release" }
  /** Someone else owns it: leave it alone. */
  | { readonly kind: "drop" };

export type PostponeReason = "held" | "lane-full" | "window-full" | "circuit-open" | "rate-limited" | "publish-failed" | "not-started" | "store-down" | "shed";
