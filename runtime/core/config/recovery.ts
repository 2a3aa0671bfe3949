// Side jobs of the pool, which outlive messages and workers.
import { z } from "zod";
import { dayMs, integer } from "./fields.ts";

export interface RecoveryConfig {
  /** Whether this worker keeps and does such jobs. Default true, but with a store in memory. With Redis it loads a library of 12 MB. */
  readonly enabled?: boolean | undefined;
  /**
   * How long nobody may have been at a run under compensation before it counts as left behind; keep it above the longest pause of a
   * skill's retries. 1 000 to 86 400 000, default 900 000.
   */
  readonly compensateAfterMs?: number | undefined;
  /** How long a worker that gives no sign is taken to be at its jobs; 1 000 to 300 000, default 15 000. */
  readonly leaseMs?: number | undefined;
}

export interface RecoverySettings {
  readonly enabled: boolean;
  readonly compensateAfterMs: number;
  readonly leaseMs: number;
}

export const recoverySchema: z.ZodType<RecoverySettings, RecoveryConfig> = z.strictObject({
  enabled: z.boolean().default(true),
  compensateAfterMs: integer(1_000, dayMs).default(900_000),
  leaseMs: integer(1_000, 300_000).default(15_000),
});
