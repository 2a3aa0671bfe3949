/** What is registered: plugins, their skills and dependencies; and the runtime's own skill beside them. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { ownVersion } from "../adapters/system/version.ts";
import type { Config } from "../core/config.ts";
import { ConfigurationError } from "../core/errors.ts";
import { didYouMean } from "../core/near-name.ts";
import probe from "../skills/built-in/probe.ts";
import { type ComposedContracts, composeContracts } from "./contracts.ts";
import { type LoadedPlugin, loadPlugins } from "../skills/host/plugins.ts";
import { type ComposedSettings, composeSettings } from "./settings.ts";
import { type RegisteredSkill, SkillRegistry, checkBaseUrls } from "../skills/host/registry.ts";

export interface ComposedSkills {
  readonly plugins: readonly LoadedPlugin[];
  readonly registry: SkillRegistry;
  /** Of those plugins that have some, by the plugin's name. */
  readonly settings: ReadonlyMap<string, ComposedSettings>;
  /** Undefined where the configuration names none. */
  readonly contracts: ComposedContracts | undefined;
}

/** Loads the plugins, and reads the contracts. Throws `ConfigurationError` for what would keep them from starting. `leavesOutput`: see `PluginSources`. */
export async function composeSkills(config: Config, directory: string, leavesOutput?: boolean): Promise<ComposedSkills> {
  const listed = await loadPlugins({ plugins: config.plugins, roots: config.pluginRoots, directory, leavesOutput });
  checkBaseUrls(listed, config);
  const plugins = [...listed, builtIn(listed)];
  const contracts = await composeContracts(config, directory);
  return { plugins, registry: registryOf(plugins, config, contracts), contracts, settings: await composeSettings(listed, config) };
}

/** Everything that is registered, from where and why. */
export async function describeSkills(config: Config, directory: string): Promise<readonly RegisteredSkill[]> {
  const plugins = await loadPlugins({ plugins: config.plugins, roots: config.pluginRoots, directory });
  await composeSettings(plugins, config);
  return registryOf(plugins, config).skills;
}

function registryOf(plugins: readonly LoadedPlugin[], config: Config, contracts?: ComposedContracts): SkillRegistry {
  const registry = new SkillRegistry(plugins, config, contracts?.upcasts);
  const known = registry.skills.map(({ name }) => name);
  for (const { name, skills = [] } of config.sources)
    for (const skill of skills)
      if (!known.includes(skill))
        throw new ConfigurationError(`sources: expected the skills of '${name}' to be among ${known.join(", ")}, found '${skill}'${didYouMean(skill, known)}`);
  return registry;
}

/** Throws `ConfigurationError` where one of the listed ones has taken its skills' names. */
function builtIn(listed: readonly LoadedPlugin[]): LoadedPlugin {
  const { module = "", name = "", skills, dependencies, resources, settings } = probe;
  for (const skill of skills) {
    const taken = listed.find((plugin) => plugin.skills.some((one) => one.name === skill.name));
    if (taken !== undefined)
      throw new ConfigurationError(`plugin '${taken.listedAs}': expected another name than '${skill.name}', which is the runtime's own; rename its skill`);
  }
  const folder = dirname(fileURLToPath(module));
  return { name, version: ownVersion(), listedAs: "built in", folder, entry: module, skills, dependencies, resources, settings, slow: [], isBuiltIn: true };
}
