/**
 * Loads handler plugins. A plugin is a folder, or an installed package, with a manifest `holdfast.plugin.json` beside its code:
 *
 *   { "name": "greeter", "version": "1.0.0", "entry": "./index.ts", "skills": ["greeter"], "dependencies": ["mailer"] }
 *
 * Only what the configuration lists is loaded, and only from folders that it allows: paths are compared after links have been
 * followed, so neither `..` nor a link leads out. A plugin that is given as an object has said itself which module it is.
 */
import { existsSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { ListedPlugin } from "../../core/plugin-object.ts";
import { ConfigurationError, messageOf } from "../../core/errors.ts";
import { checkKeys, checkName, refuse } from "../author/check-options.ts";
import type { Dependency } from "../author/define-dependency.ts";
import { type Plugin, checkPluginVersion, isPlugin } from "../author/define-plugin.ts";
import type { AnyResource } from "../author/define-resource.ts";
import type { Settings } from "../author/define-settings.ts";
import type { Skill } from "../author/define-skill.ts";
import { isWithin } from "./code-place.ts";
import { captureOutput } from "./captured-output.ts";
import type { FoundPlugin, Manifest } from "./found-plugin.ts";
import { importModule, readJson } from "./import-module.ts";
import { findPluginObject } from "./plugin-objects.ts";
import { probePlugins } from "./probe.ts";
import { type SlowStart, StartTimes } from "./start-times.ts";

export interface PluginSources {
  /** As the configuration lists them: paths that begin with `.` or `/`, package names, or what `definePlugin` made. */
  readonly plugins: readonly ListedPlugin[];
  /** Folders that plugins may lie in. */
  readonly roots: readonly string[];
  /** Relative paths start here; packages are looked for in `node_modules` here and above. */
  readonly directory: string;
  /** How long each may take to be imported; default 10 000. */
  readonly importTimeoutMs?: number | undefined;
  /** Leave this thread's output alone while plugins are imported: it is somebody else's process. */
  readonly leavesOutput?: boolean | undefined;
}

export interface LoadedPlugin {
  readonly name: string;
  readonly version: string;
  /** As the configuration lists it. */
  readonly listedAs: string;
  /** Links followed. */
  readonly folder: string;
  /** `file:` URL of its entry module. */
  readonly entry: string;
  readonly skills: readonly Skill[];
  readonly dependencies: readonly Dependency[];
  readonly resources: readonly AnyResource[];
  /** Undefined where it has none. */
  readonly settings: Settings<unknown> | undefined;
  /** What was slow in loading it. */
  readonly slow: readonly SlowStart[];
  /** It is the runtime's own: its skills are found by their events, and are no part of what is registered, shown, shared out or measured. */
  readonly isBuiltIn?: boolean | undefined;
}

const manifestName = "holdfast.plugin.json";
/** A failed import is shown with the code around it. */
const importTextMax = 4_000;
const manifestKeys = ["name", "version", "entry", "skills", "dependencies"];
const urlPattern = /^[A-Za-z][A-Za-z0-9+.-]+:/;

/** Loads every listed plugin, in order; throws `ConfigurationError` for the first that cannot be used. */
export async function loadPlugins(sources: PluginSources): Promise<readonly LoadedPlugin[]> {
  const roots = sources.roots.map((root) => realFolder(`plugin root '${root}'`, resolve(sources.directory, root)));
  const found = sources.plugins.map((listed) => (typeof listed === "string" ? findPlugin(listed, sources.directory, roots) : findPluginObject(listed)));
  await probePlugins(found, sources.importTimeoutMs);
  // The threads that run them print it as log lines.
  const restoreOutput = sources.leavesOutput === true ? undefined : captureOutput(() => undefined);
  const loaded: LoadedPlugin[] = [];
  try {
    for (const plugin of found) loaded.push(await loadPlugin(plugin));
  } finally {
    restoreOutput?.();
  }
  checkUnique(
    "plugin",
    loaded.map(({ name, listedAs }) => [name, listedAs]),
  );
  checkUnique(
    "skill",
    loaded.flatMap((plugin) => plugin.skills.map(({ name }) => [name, plugin.listedAs] as const)),
  );
  checkDependencies(loaded);
  return loaded;
}

function findPlugin(listedAs: string, directory: string, roots: readonly string[]): FoundPlugin {
  const owner = `plugin '${listedAs}'`;
  const folder = realFolder(owner, findFolder(listedAs, directory));
  checkInside(owner, folder, roots);
  const manifest = readManifest(owner, folder, roots);
  const entry = realFile(`${owner}: entry '${manifest.entry}'`, builtEntry(resolve(folder, manifest.entry)));
  checkInside(`${owner}: entry '${manifest.entry}'`, entry, [folder]);
  return { owner, listedAs, folder, url: pathToFileURL(entry).href, manifest };
}

async function loadPlugin({ owner, listedAs, folder, url, manifest }: FoundPlugin): Promise<LoadedPlugin> {
  const times = new StartTimes(() => performance.now());
  const plugin = await times.time(manifest.name, "", "import", () => importPlugin(owner, url, folder));
  checkSame(owner, "skills", manifest.skills, plugin.skills);
  checkSame(owner, "dependencies", manifest.dependencies, plugin.dependencies);
  return {
    name: manifest.name,
    version: manifest.version,
    listedAs,
    folder,
    entry: url,
    skills: plugin.skills,
    dependencies: plugin.dependencies,
    resources: plugin.resources,
    settings: plugin.settings,
    slow: times.slow,
  };
}

/** Imports an entry module that a manifest names; threads use it too. */
export async function importPlugin(owner: string, url: string, folder: string): Promise<Plugin> {
  let module: { readonly default?: unknown };
  try {
    module = await importModule({ name: owner, url, folder });
  } catch (error) {
    throw new ConfigurationError(`${owner}: expected its entry to load, it threw: ${messageOf(error, importTextMax)}`, { cause: error });
  }
  if (!isPlugin(module.default)) refuse(owner, "its entry to export by default what definePlugin makes", typeof module.default);
  return module.default;
}

function findFolder(listedAs: string, directory: string): string {
  if (urlPattern.test(listedAs)) {
    throw new ConfigurationError(
      `plugin '${listedAs.slice(0, 100)}': expected a path that begins with . or /, or a package name, got a URL; put the plugin into a folder and list that`,
    );
  }
  if (listedAs.startsWith(".") || listedAs.startsWith("/")) return resolve(directory, listedAs);
  for (let place = resolve(directory); ; place = dirname(place)) {
    const folder = join(place, "node_modules", listedAs);
    if (existsSync(folder)) return folder;
    if (place === dirname(place)) break;
  }
  throw new ConfigurationError(
    `plugin '${listedAs}': expected an installed package, found none in node_modules of ${resolve(directory)} or above; install it, or begin a path with ./`,
  );
}

function realFolder(owner: string, path: string): string {
  return realFile(owner, path);
}

function realFile(owner: string, path: string): string {
  try {
    return realpathSync(path);
  } catch {
    throw new ConfigurationError(`${owner}: expected it at ${path}, found nothing there`);
  }
}

/** The compiled module, where only that is there. */
function builtEntry(path: string): string {
  const built = path.replace(/\.ts$/, ".js");
  return !existsSync(path) && existsSync(built) ? built : path;
}

function checkInside(owner: string, path: string, folders: readonly string[]): void {
  if (folders.some((folder) => isWithin(path, folder))) return;
  throw new ConfigurationError(`${owner}: expected it inside ${folders.join(" or ")}, it leads to ${path}; move it, or allow its folder in pluginRoots`);
}

function readManifest(owner: string, folder: string, roots: readonly string[]): Manifest {
  const file = realFile(`${owner}: manifest`, join(folder, manifestName));
  checkInside(`${owner}: manifest`, file, roots);
  let value: unknown;
  try {
    value = readJson(file, folder);
  } catch (error) {
    throw new ConfigurationError(`${owner}: expected ${manifestName} to be JSON: ${messageOf(error, importTextMax)}`, { cause: error });
  }
  const place = `${owner}: ${manifestName}`;
  checkKeys(place, value, manifestKeys);
  const { version, entry } = value;
  if (typeof entry !== "string" || urlPattern.test(entry)) refuse(`${place}: entry`, "a path below the plugin's folder", entry);
  return {
    name: checkName(`${place}: name`, value["name"]),
    version: checkPluginVersion(`${place}: version`, version),
    entry,
    skills: names(`${place}: skills`, value["skills"]),
    dependencies: names(`${place}: dependencies`, value["dependencies"] ?? []),
  };
}

function names(owner: string, value: unknown): readonly string[] {
  if (!Array.isArray(value)) refuse(owner, "a list of names", value);
  return value.map((name: unknown) => checkName(owner, name));
}

function checkSame(owner: string, what: string, named: readonly string[], exported: readonly { readonly name: string }[]): void {
  const found = exported.map(({ name }) => name);
  if (named.length === found.length && named.every((name) => found.includes(name))) return;
  throw new ConfigurationError(
    `${owner}: expected its manifest and its entry to name the same ${what}, the manifest names ${named.join(", ") || "none"}, the entry exports ${found.join(", ") || "none"}`,
  );
}

function checkUnique(what: string, entries: readonly (readonly [name: string, listedAs: string])[]): void {
  const seen = new Map<string, string>();
  for (const [name, listedAs] of entries) {
    const first = seen.get(name);
    if (first !== undefined)
      throw new ConfigurationError(`expected each ${what} once, found '${name}' in plugin '${first}' and in plugin '${listedAs}'; rename or unlist one`);
    seen.set(name, listedAs);
  }
}

/** Plugins may share a dependency: one definition, which both import. */
function checkDependencies(plugins: readonly LoadedPlugin[]): void {
  const seen = new Map<string, { readonly dependency: Dependency; readonly listedAs: string }>();
  for (const { listedAs, dependencies } of plugins) {
    for (const dependency of dependencies) {
      const first = seen.get(dependency.name);
      if (first === undefined) seen.set(dependency.name, { dependency, listedAs });
      else if (first.dependency !== dependency)
        throw new ConfigurationError(
          `expected one definition of each dependency, found two of '${dependency.name}', in plugin '${first.listedAs}' and in plugin '${listedAs}'; have one import it from the other, rename one, or unlist a plugin`,
        );
    }
  }
}
