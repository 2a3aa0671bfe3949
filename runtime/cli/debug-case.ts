import type { LoadedPlugin } from "../skills/host/plugins.ts";
import type { RerunOptions } from "../testing/rerun.ts";
import type { Found } from "./debug-source.ts";

/** What is gone through, and with what. */
export interface Case extends RerunOptions {
  readonly found: Found;
  readonly plugin: LoadedPlugin;
}
