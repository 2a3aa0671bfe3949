/** What the configuration says to plugins, held against what they say they are told. */
import type { Config } from "../core/config.ts";
import { secretsIn } from "../core/config/secrets.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import { didYouMean } from "../core/near-name.ts";
import { hideFromNowOn } from "../core/redact.ts";
import type { Settings } from "../skills/author/define-settings.ts";
import { type LoadedPlugin, loadPlugins } from "../skills/host/plugins.ts";
import { compileSettings, type GivenSettings, givenNow, isSecretAt, readSettings, whyNot } from "../skills/host/settings.ts";

/** A plugin's, as they are. */
export interface ComposedSettings {
  readonly settings: Settings<unknown>;
  /** What the schema made of them; undefined where secrets have not been read that it wants to see. */
  readonly values: unknown;
  /** As a thread gets them at this moment. */
  now(): GivenSettings;
}

/** By plugin. Throws `ConfigurationError` with all that is wrong. */
export async function composeSettings(plugins: readonly LoadedPlugin[], config: Pick<Config, "settings">): Promise<ReadonlyMap<string, ComposedSettings>> {
  const lines = [...config.settings.keys()].flatMap((name) => strangers(name, plugins));
  const composed = new Map<string, ComposedSettings>();
  for (const { name, settings } of plugins) {
    if (settings === undefined) continue;
    const given = config.settings.get(name) ?? {};
    const compiled = await compileSettings(name, settings);
    const now = (): GivenSettings => givenNow(settings, given);
    for (const text of now().hidden) hideFromNowOn(text);
    const read = await readSettings(compiled, given);
    if (!read.ok) lines.push(...read.lines);
    for (const { secret } of secretsIn(given)) secret.demand((value) => whyNot(compiled, given, secret, value));
    composed.set(name, { settings, values: read.ok ? read.values : undefined, now });
  }
  if (lines.length > 0) throw new ConfigurationError(lines.join("; "));
  return composed;
}

/** Of plugins, for who shows the configuration. */
export interface DescribedSettings {
  /** By plugin: what is given, and beside it what the schema's defaults say. */
  readonly settings: ReadonlyMap<string, unknown>;
  /** Whether a value is shown to nobody; `path` begins with the plugin. */
  isSecret(path: readonly string[]): boolean;
  /** Why plugins could not be loaded; then nothing is known of their settings but what is given. */
  readonly unloaded: string | undefined;
}

/** Throws `ConfigurationError` for settings that cannot be used. */
export async function describeSettings(config: Config, directory: string): Promise<DescribedSettings> {
  let plugins: readonly LoadedPlugin[];
  try {
    plugins = await loadPlugins({ plugins: config.plugins, roots: config.pluginRoots, directory });
  } catch (error) {
    return { settings: config.settings, isSecret: () => true, unloaded: messageOf(error) };
  }
  const composed = await composeSettings(plugins, config);
  const shown = Array.from(composed, ([name, { values }]) => [name, besides(config.settings.get(name) ?? {}, values)] as const);
  return {
    settings: new Map(shown),
    unloaded: undefined,
    isSecret: ([plugin = "", ...path]) => {
      const found = composed.get(plugin);
      return found === undefined || isSecretAt(found.settings, path, undefined);
    },
  };
}

/** What is given goes before: of that it is known where it comes from. */
function besides(given: unknown, values: unknown): unknown {
  if (!isPlain(given) || !isPlain(values)) return given ?? values;
  return Object.fromEntries([...new Set([...Object.keys(given), ...Object.keys(values)])].map((key) => [key, besides(given[key], values[key])]));
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null);
}

/** Whom a part of the settings is for, where that is nobody. */
function strangers(name: string, plugins: readonly LoadedPlugin[]): readonly string[] {
  const plugin = plugins.find((one) => one.name === name);
  if (plugin?.settings !== undefined) return [];
  if (plugin !== undefined)
    return [`settings.${name}: expected a plugin that declares settings, found that '${name}' declares none; take them out, or give its definePlugin settings`];
  const names = plugins.map((one) => one.name);
  return [`settings.${name}: expected the name of a listed plugin (${names.join(", ")}), found '${name}'${didYouMean(name, names)}`];
}
