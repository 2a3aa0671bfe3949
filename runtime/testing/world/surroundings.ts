import type { Config } from "../../core/config.ts";
import type { EnvelopeHook } from "../../core/envelope-hook.ts";
import { type DecodeLimits, defaultDecodeLimits } from "../../core/read-route.ts";

/** What a worker's configuration says of how it reads messages and runs skills. */
export interface Surroundings extends Pick<Config, "dependencies" | "skills"> {
  readonly limits: DecodeLimits;
  readonly envelopes: readonly EnvelopeHook[];
  /** The plugin's folder: where a failure was thrown is told from there. Undefined: it is not told. */
  readonly folder: string | undefined;
}

export const usualSurroundings: Surroundings = { dependencies: new Map(), skills: new Map(), limits: defaultDecodeLimits, envelopes: [], folder: undefined };
