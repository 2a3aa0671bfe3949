import { ConfigurationError } from "../../core/errors.ts";
import { isPluginObject } from "../../core/plugin-object.ts";
import { checkKeys, checkName, refuse } from "./check-options.ts";
import { type Dependency, isDependency } from "./define-dependency.ts";
import { type AnyResource, isResource } from "./define-resource.ts";
import { type Settings, isSettings } from "./define-settings.ts";
import { type Skill, isSkill } from "./define-skill.ts";

/** What a plugin's entry module exports by default. Made by `definePlugin`. */
export interface Plugin {
  readonly kind: "holdfast.plugin";
  /** `file:` URL of the module that exports it by default; undefined for one that is found by its manifest alone. */
  readonly module: string | undefined;
  /** Undefined where its manifest, or its module's file, names it. */
  readonly name: string | undefined;
  readonly version: string | undefined;
  readonly skills: readonly Skill[];
  readonly dependencies: readonly Dependency[];
  readonly resources: readonly AnyResource[];
  /** Undefined where it has none. */
  readonly settings: Settings<unknown> | undefined;
}

/** What `definePlugin` takes. */
export interface PluginOptions {
  /**
   * `import.meta.url` of the module that exports it by default, for a plugin that is handed to `createWorker` or to a configuration as an object, without a manifest:
   * skills run in threads, and a thread has to import them from somewhere. Default: none, it is found by its folder.
   */
  readonly module?: string;
  /** 1 to 64 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter. A manifest's goes before. Default: that of the module's file, or of its folder for an `index`. */
  readonly name?: string;
  /** `major.minor.patch`. A manifest's goes before. Default "0.0.0". */
  readonly version?: string;
  readonly skills: readonly Skill[];
  /** Every dependency that its skills use. */
  readonly dependencies?: readonly Dependency[];
  /** Resources that its skills use; those that are opened at the start have to be here. Default: none. */
  readonly resources?: readonly AnyResource[];
  /** What `defineSettings` made: their values stand in the configuration, in `settings`, under the plugin's name. Default: none. */
  readonly settings?: Settings<unknown>;
}

function checkNames(what: string, items: readonly { readonly name: string }[]): void {
  const names = new Set<string>();
  for (const { name } of items) {
    if (names.has(name)) refuse("plugin", `each ${what} once`, name);
    names.add(name);
  }
}

const versionPattern = /^\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$/;

export function checkPluginVersion(owner: string, version: unknown): string {
  if (typeof version !== "string" || !versionPattern.test(version)) refuse(owner, "a version such as 1.0.0", version);
  return version;
}

/** Gathers the skills, dependencies, resources and settings of a plugin; its manifest, where there is one, names the same. Throws `ConfigurationError`. */
export function definePlugin(options: PluginOptions): Plugin {
  checkKeys("plugin", options, ["module", "name", "version", "skills", "dependencies", "resources", "settings"]);
  const { module, name, version, skills, dependencies = [], resources = [], settings } = options;
  if (module !== undefined && (typeof module !== "string" || !module.startsWith("file:")))
    refuse("plugin.module", "the file: URL of the module that exports it, which is import.meta.url there", module);
  if (name !== undefined) checkName("plugin.name", name);
  if (version !== undefined) checkPluginVersion("plugin.version", version);
  if (!Array.isArray(skills) || skills.length === 0 || !skills.every(isSkill)) refuse("plugin.skills", "at least one skill made by defineSkill", skills);
  if (!Array.isArray(dependencies) || !dependencies.every(isDependency)) refuse("plugin.dependencies", "dependencies made by defineDependency", dependencies);
  if (!Array.isArray(resources) || !resources.every(isResource)) refuse("plugin.resources", "resources made by defineResource", resources);
  if (settings !== undefined && !isSettings(settings)) refuse("plugin.settings", "settings made by defineSettings", settings);
  checkNames("skill", skills);
  checkNames("dependency", dependencies);
  checkNames("resource", resources);
  for (const skill of skills) {
    for (const used of skill.uses) {
      if (!dependencies.includes(used)) {
        throw new ConfigurationError(
          `plugin: expected dependency '${used.name}', which skill '${skill.name}' uses, in its dependencies, got ${dependencies.map(({ name }) => name).join(", ") || "none"}`,
        );
      }
    }
  }
  return Object.freeze({
    kind: "holdfast.plugin",
    module,
    name,
    version,
    skills: [...skills],
    dependencies: [...dependencies],
    resources: [...resources],
    settings,
  });
}

export function isPlugin(value: unknown): value is Plugin {
  return isPluginObject(value);
}
