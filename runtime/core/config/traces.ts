// Which runs are told of as spans. Whether any are, and where they go, OpenTelemetry's environment variables say.
import { z } from "zod";
import { integer } from "./fields.ts";

export interface TracesConfig {
  /** Part of the traces whose runs are told of though nothing went wrong; 0 to 1, default 0.01, or what `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say. */
  readonly ratio?: number | undefined;
  /** Whether a message that says of its trace that it is kept, or not, decides in place of `ratio`. Default true. */
  readonly followParent?: boolean | undefined;
  /** A run that takes so long in its thread is always told of; 1 to 86 400 000, default 5 000. */
  readonly slowMs?: number | undefined;
}

/** What is not said is left to the environment. */
export interface TracesSettings {
  readonly ratio?: number | undefined;
  readonly followParent?: boolean | undefined;
  readonly slowMs: number;
}

export const tracesSchema: z.ZodType<TracesSettings, TracesConfig> = z.strictObject({
  ratio: z.number().min(0).max(1).optional(),
  followParent: z.boolean().optional(),
  slowMs: integer(1, 86_400_000).default(5_000),
});
