// Where events about the work itself are sent.
import { z } from "zod";
import { platformEventTypes } from "../platform-catalogue.ts";
import { entityName, integer } from "./fields.ts";

export interface PlatformEventsConfig {
  /** A queue or topic. It must exist; it is not a queue that this worker reads. */
  readonly entity: string;
  /** Event types of `runtime/PLATFORM-EVENTS.md`; default: all. */
  readonly include?: readonly string[] | undefined;
  /** Of those that wait to be sent, while the broker is slow or away; 1 to 100 000, default 1 000. What is over is dropped and counted. */
  readonly bufferMax?: number | undefined;
  /** 1 to 10 000, default 100. What is over is dropped and counted. */
  readonly perSecondMax?: number | undefined;
}

export interface PlatformEventsSettings {
  readonly entity: string;
  readonly include?: readonly string[] | undefined;
  readonly bufferMax: number;
  readonly perSecondMax: number;
}

const [first = "", ...others] = platformEventTypes;

export const platformEventsSchema: z.ZodType<PlatformEventsSettings, PlatformEventsConfig> = z.strictObject({
  entity: entityName,
  include: z
    .array(z.enum([first, ...others]))
    .min(1)
    .optional(),
  bufferMax: integer(1, 100_000).default(1_000),
  perSecondMax: integer(1, 10_000).default(100),
});
