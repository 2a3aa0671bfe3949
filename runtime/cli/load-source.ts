/** The configuration, narrowed to the source, or the sources one by one, that a command is about. */
import type { Config } from "../core/config.ts";
import { ConfigurationError } from "../core/errors.ts";
import { didYouMean } from "../core/near-name.ts";
import { loadConfig, type LoadedConfig } from "./load-config.ts";

export interface LoadedSource extends LoadedConfig {
  /** With the one source alone. */
  readonly config: Config;
  /** With all of them. */
  readonly whole: Config;
  /** Of the source. */
  readonly name: string;
}

export interface SourceChoice {
  readonly config?: string;
  /** Its name. */
  readonly source?: string;
}

export async function loadSource(choice: SourceChoice): Promise<LoadedSource> {
  const [loaded, other] = await loadSources(choice);
  if (loaded === undefined) throw new TypeError("expected a checked configuration, got one without a source");
  if (other === undefined) return loaded;
  throw new ConfigurationError(`--source: expected one of ${namesOf(loaded.whole).join(", ")}, found none`);
}

/** The source that is named; where none is, all of them, each by itself. */
export async function loadSources({ config: file, source: name }: SourceChoice): Promise<readonly LoadedSource[]> {
  const loaded = await loadConfig(file);
  const { config } = loaded;
  const meant = name === undefined ? config.sources : config.sources.filter((source) => source.name === name);
  const names = namesOf(config);
  if (meant.length === 0) throw new ConfigurationError(`--source: expected one of ${names.join(", ")}, found '${name}'${didYouMean(name ?? "", names)}`);
  return meant.map((source) => ({ ...loaded, config: { ...config, sources: [source] }, whole: config, name: source.name }));
}

function namesOf({ sources }: Config): readonly string[] {
  return sources.map(({ name }) => name);
}

/**
 * The one of several sources that a change is for: where `has` is true. What is in none is looked for in the first one, which says so; what
 * is in several, `what` names.
 */
export async function theOne<Item>(items: readonly Item[], has: (item: Item) => Promise<boolean>, nameOf: (item: Item) => string, what: string): Promise<Item> {
  const [first] = items;
  if (first === undefined) throw new TypeError("expected a source at least, got none");
  if (items.length === 1) return first;
  const having: Item[] = [];
  for (const item of items) if (await has(item)) having.push(item);
  if (having.length > 1)
    throw new ConfigurationError(`--source: expected one of ${having.map(nameOf).join(", ")}, for ${what} in each of them, found none; nothing was changed`);
  return having[0] ?? first;
}
