// Side jobs of the pool, which outlive messages and workers.
import { z } from "zod";
import { type SweepForm, sweepForms } from "../sweep.ts";
import { dayMs, entityName, integer } from "./fields.ts";

/** What the pool looks after from time to time, by one worker at a time. */
export interface SweepsConfig {
  /**
   * Default `compensations`. `look` and `mend` peek at every message of the queues and their dead letters each time; `mend` does what
   * `holdfast reconcile --apply` does.
   */
  readonly form?: SweepForm | "off" | undefined;
  /** Between the end of one and the next; 1 000 to 86 400 000, default 3 600 000. */
  readonly everyMs?: number | undefined;
  /** Records and messages that were written later are left alone; longer than a lock. 1 000 to 86 400 000, default 600 000. */
  readonly quietMs?: number | undefined;
  /** Messages that are looked at in each queue; 1 to 10 000 000, default 100 000. Where there are more, none counts as missing. */
  readonly peekMax?: number | undefined;
  /** The queue that the consumer's dead letters are forwarded to, where they are. */
  readonly forwardedTo?: string | undefined;
}

export interface SweepsSettings {
  readonly form: SweepForm | "off";
  readonly everyMs: number;
  readonly quietMs: number;
  readonly peekMax: number;
  readonly forwardedTo?: string | undefined;
}

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
  readonly sweeps?: SweepsConfig | undefined;
}

export interface RecoverySettings {
  readonly enabled: boolean;
  readonly compensateAfterMs: number;
  readonly leaseMs: number;
  readonly sweeps: SweepsSettings;
}

const sweepsSchema: z.ZodType<SweepsSettings, SweepsConfig> = z.strictObject({
  form: z.enum(["off", ...sweepForms]).default("compensations"),
  everyMs: integer(1_000, dayMs).default(3_600_000),
  quietMs: integer(1_000, dayMs).default(600_000),
  peekMax: integer(1, 10_000_000).default(100_000),
  forwardedTo: entityName.optional(),
});

export const recoverySchema: z.ZodType<RecoverySettings, RecoveryConfig> = z.strictObject({
  enabled: z.boolean().default(true),
  compensateAfterMs: integer(1_000, dayMs).default(900_000),
  leaseMs: integer(1_000, 300_000).default(15_000),
  sweeps: sweepsSchema.prefault({}),
});
