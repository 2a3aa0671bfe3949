// What is done about skill threads that let nothing in any more.
import { z } from "zod";
import { hourMs, integer } from "./fields.ts";

export interface StuckThreadsConfig {
  /** How long a thread may be held past a run's time before it is ended; the run's `signal` says so at the beginning. 100 to 600 000, default 2 000. */
  readonly graceMs?: number | undefined;
  /** How long a thread may be held by code of no run, such as a timer that a run left behind. 1 000 to 3 600 000, default 10 000. */
  readonly afterMs?: number | undefined;
  /** How long a thread may take to end; one that does not, because it is in native code, is given up and replaced all the same. 100 to 600 000, default 5 000. */
  readonly endWithinMs?: number | undefined;
  /** With so many threads that do not end the worker stops in order, and its process ends with 75, to be restarted. 1 to 256, default 2. */
  readonly leakedMax?: number | undefined;
}

export type StuckThreadsSettings = { readonly [K in keyof StuckThreadsConfig]-?: number };

export const stuckThreadsSchema: z.ZodType<StuckThreadsSettings, StuckThreadsConfig> = z.strictObject({
  graceMs: integer(100, 600_000).default(2_000),
  afterMs: integer(1_000, hourMs).default(10_000),
  endWithinMs: integer(100, 600_000).default(5_000),
  leakedMax: integer(1, 256).default(2),
});
