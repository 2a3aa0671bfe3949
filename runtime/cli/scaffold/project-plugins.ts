/** What the plugins of a project have already, by their source: a skill that is made has to get along with them. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Source of each plugin's entry, by the plugin's folder. */
function sources(root: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const name of foldersIn(join(root, "plugins"))) {
    try {
      found.set(name, readFileSync(join(root, "plugins", name, "index.ts"), "utf8"));
    } catch {
      // One that is written otherwise is not looked into.
    }
  }
  return found;
}

function foldersIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((one) => (one.isDirectory() ? [one.name] : []));
  } catch {
    return [];
  }
}

/** The plugin that defines the dependency, and the constant that it exports it as; undefined where none does. */
export function definitionOf(root: string, dependency: string): { readonly plugin: string; readonly constant: string } | undefined {
  const pattern = new RegExp(`^export const (\\w+)\\s*(?::[^=]+)?=\\s*defineDependency(?:<[^(]*>)?\\(\\{\\s*name:\\s*["']${dependency}["']`, "m");
  for (const [plugin, source] of sources(root)) {
    const constant = pattern.exec(source)?.[1];
    if (constant !== undefined) return { plugin, constant };
  }
  return undefined;
}

/** Plugins whose skills handle events of the type, in whatever version. */
export function handlersOf(root: string, eventType: string): readonly string[] {
  const pattern = new RegExp(`handles:\\s*\\[[^\\]]*eventType:\\s*["']${eventType}["']`);
  return [...sources(root)].flatMap(([plugin, source]) => (pattern.test(source) ? [plugin] : []));
}
