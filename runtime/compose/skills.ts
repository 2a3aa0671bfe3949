/** What is registered: plugins, their skills and dependencies. */
import type { Config } from "../core/config.ts";
import { type LoadedPlugin, loadPlugins } from "../skills/host/plugins.ts";
import { type RegisteredSkill, SkillRegistry, checkBaseUrls } from "../skills/host/registry.ts";

export interface ComposedSkills {
  readonly plugins: readonly LoadedPlugin[];
  readonly registry: SkillRegistry;
}

/** Loads the plugins. Throws `ConfigurationError` for what would keep them from starting. `leavesOutput`: see `PluginSources`. */
export async function composeSkills(config: Config, directory: string, leavesOutput?: boolean): Promise<ComposedSkills> {
  const plugins = await loadPlugins({ plugins: config.plugins, roots: config.pluginRoots, directory, leavesOutput });
  checkBaseUrls(plugins, config);
  return { plugins, registry: new SkillRegistry(plugins, config) };
}

/** Everything that is registered, from where and why. */
export async function describeSkills(config: Config, directory: string): Promise<readonly RegisteredSkill[]> {
  const plugins = await loadPlugins({ plugins: config.plugins, roots: config.pluginRoots, directory });
  return new SkillRegistry(plugins, config).skills;
}
