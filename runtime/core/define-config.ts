import type { ConfigInput } from "./config.ts";

/** Gives a configuration file its types. Apart from what checks it, so that a plugin that imports the runtime loads none of that. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}
