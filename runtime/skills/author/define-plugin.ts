import { ConfigurationError } from "../../core/errors.ts";
import { checkKeys, refuse } from "./check-options.ts";
import { type Dependency, isDependency } from "./define-dependency.ts";
import { type Skill, isSkill } from "./define-skill.ts";

/** What a plugin's entry module exports by default. Made by `definePlugin`. */
export interface Plugin {
  readonly kind: "holdfast.plugin";
  readonly skills: readonly Skill[];
  readonly dependencies: readonly Dependency[];
}

export interface PluginOptions {
  readonly skills: readonly Skill[];
  /** Every dependency that its skills use. */
  readonly dependencies?: readonly Dependency[];
}

function checkNames(what: string, items: readonly { readonly name: string }[]): void {
  const names = new Set<string>();
  for (const { name } of items) {
    if (names.has(name)) refuse("plugin", `each ${what} once`, name);
    names.add(name);
  }
}

/** Gathers the skills and dependencies of a plugin; its manifest names the same. Throws `ConfigurationError`. */
export function definePlugin(options: PluginOptions): Plugin {
  checkKeys("plugin", options, ["skills", "dependencies"]);
  const { skills, dependencies = [] } = options;
  if (!Array.isArray(skills) || skills.length === 0 || !skills.every(isSkill)) refuse("plugin.skills", "at least one skill made by defineSkill", skills);
  if (!Array.isArray(dependencies) || !dependencies.every(isDependency)) refuse("plugin.dependencies", "dependencies made by defineDependency", dependencies);
  checkNames("skill", skills);
  checkNames("dependency", dependencies);
  for (const skill of skills) {
    for (const used of skill.uses) {
      if (!dependencies.includes(used)) {
        throw new ConfigurationError(
          `plugin: expected dependency '${used.name}', which skill '${skill.name}' uses, in its dependencies, got ${dependencies.map(({ name }) => name).join(", ") || "none"}`,
        );
      }
    }
  }
  return Object.freeze({ kind: "holdfast.plugin", skills: [...skills], dependencies: [...dependencies] });
}

export function isPlugin(value: unknown): value is Plugin {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "holdfast.plugin";
}
