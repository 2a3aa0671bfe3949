/**
 * Plugins that are given as objects, by the program that the worker lives in. Their skills run in threads all the same, and no function gets
 * into a thread: what gets there is the address of a module, which every thread imports for itself. So the object has to name its module.
 */
import { realpathSync } from "node:fs";
import { basename, dirname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ConfigurationError } from "../../core/errors.ts";
import type { PluginObject } from "../../core/plugin-object.ts";
import { checkName } from "../author/check-options.ts";
import type { Plugin } from "../author/define-plugin.ts";
import type { FoundPlugin } from "./found-plugin.ts";

const advice = "put it into a module of its own that says `export default definePlugin({ module: import.meta.url, … })`, and import it from there";

/** Throws `ConfigurationError` for one whose module cannot be imported by a thread. */
export function findPluginObject(object: PluginObject): FoundPlugin {
  const { module, name, version = "0.0.0", skills, dependencies } = object as Plugin;
  const named = skills.map((skill) => skill.name);
  const what = `plugin ${name === undefined ? `of the skills ${named.join(", ")}` : `'${name}'`}`;
  if (module === undefined)
    throw new ConfigurationError(`${what}: expected the address of its module, from which threads import it, got none; ${advice}, or list its folder`);
  const file = fileOf(what, module);
  if (file === mainFile())
    throw new ConfigurationError(
      `${what}: expected a module that every thread can import by itself, got ${file}, the program that was started, which each would start again; ${advice}`,
    );
  const known = name ?? checkName(`${what}: name, of its file`, nameOf(file));
  return {
    owner: `plugin '${known}'`,
    listedAs: known,
    folder: dirname(file),
    url: pathToFileURL(file).href,
    manifest: { name: known, version, entry: file, skills: named, dependencies: dependencies.map((dependency) => dependency.name) },
  };
}

function fileOf(what: string, module: string): string {
  try {
    return realpathSync(fileURLToPath(module));
  } catch (cause) {
    throw new ConfigurationError(`${what}: expected its module at ${module}, found nothing there; ${advice}`, { cause });
  }
}

function mainFile(): string | undefined {
  try {
    return realpathSync(process.argv[1] ?? "");
  } catch {
    return undefined;
  }
}

function nameOf(file: string): string {
  const name = basename(file).replace(/\.[^.]+$/, "");
  return name === "index" ? basename(dirname(file)) : name;
}
