/** The configuration, narrowed to the source that a command is about. */
import type { Config } from "../core/config.ts";
import { ConfigurationError } from "../core/errors.ts";
import { didYouMean } from "../core/near-name.ts";
import { loadConfig, type LoadedConfig } from "./load-config.ts";

export interface LoadedSource extends LoadedConfig {
  /** With the one source alone. */
  readonly config: Config;
  /** With all of them. */
  readonly whole: Config;
}

export interface SourceChoice {
  readonly config?: string;
  /** Its name; need not be said where there is but one. */
  readonly source?: string;
}

export async function loadSource({ config: file, source: name }: SourceChoice): Promise<LoadedSource> {
  const loaded = await loadConfig(file);
  const { config } = loaded;
  return { ...loaded, config: narrowed(config, name), whole: config };
}

function narrowed(config: Config, name: string | undefined): Config {
  const names = config.sources.map((source) => source.name);
  if (name === undefined && names.length === 1) return config;
  const source = config.sources.find((one) => one.name === name);
  if (source !== undefined) return { ...config, sources: [source] };
  const found = name === undefined ? "none" : `'${name}'${didYouMean(name, names)}`;
  throw new ConfigurationError(`--source: expected one of ${names.join(", ")}, found ${found}`);
}
