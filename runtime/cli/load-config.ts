/** Finds and reads the configuration file. */
import { existsSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type Config, parseConfig } from "../core/config.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import { importModule, readJson } from "../skills/host/import-module.ts";
import { keepForeignOutputApart } from "./output.ts";
import { surviveForeignErrors } from "./stray-errors.ts";

const names = ["holdfast.config.ts", "holdfast.config.mjs", "holdfast.config.js", "holdfast.config.json"];

/** A failed import is shown with the code around it. */
const messageMax = 4_000;

export interface LoadedConfig {
  readonly config: Config;
  /** Relative paths in the configuration start here. */
  readonly directory: string;
  readonly file: string;
}

const nameIt = "name one with --config FILE, or in the environment as HOLDFAST_CONFIG";

/** The one of the usual names that there is in the working folder: which of two is meant, nobody can tell. */
function usualFile(): string {
  const [name, other] = names.filter((each) => existsSync(each));
  if (name === undefined) throw new ConfigurationError(`expected a configuration, found none of ${names.join(", ")} in ${process.cwd()}; ${nameIt}`);
  if (other !== undefined) throw new ConfigurationError(`expected one configuration in ${process.cwd()}, found ${name} and ${other}; ${nameIt}`);
  return name;
}

/** Reads `path`, or the one of the usual names in the working folder. Throws `ConfigurationError`. */
export async function loadConfig(path: string | undefined): Promise<LoadedConfig> {
  const file = resolve(path ?? (process.env["HOLDFAST_CONFIG"] || usualFile()));
  if (!existsSync(file)) throw new ConfigurationError(`expected a configuration at ${file}, found no such file`);
  // Whoever loads a configuration runs code that others wrote: the file itself, and then the plugins that it lists.
  keepForeignOutputApart();
  surviveForeignErrors();
  return { config: parseConfig(withAdmin(withStore(await read(file))), file), directory: dirname(file), file };
}

/** A configuration that names no store keeps it where `HOLDFAST_DATA` says, as the image does: what lies beside it cannot be written there. */
function withStore(input: unknown): unknown {
  const folder = process.env["HOLDFAST_DATA"];
  if (folder === undefined || folder === "" || typeof input !== "object" || input === null || "store" in input) return input;
  return { ...input, store: { kind: "sqlite", path: resolve(folder, "runs.sqlite") } };
}

/** Where a platform says so, the admin server listens elsewhere than the configuration says, or at all. */
function withAdmin(input: unknown): unknown {
  const port = process.env["HOLDFAST_ADMIN_PORT"] ?? "";
  const host = process.env["HOLDFAST_ADMIN_HOST"] ?? "";
  if (typeof input !== "object" || input === null) return input;
  const configured = "admin" in input && typeof input.admin === "object" ? input.admin : undefined;
  if (port === "" && (host === "" || configured === undefined)) return input;
  return { ...input, admin: { ...configured, ...(port === "" ? {} : { port: /^\d+$/.test(port) ? Number(port) : port }), ...(host === "" ? {} : { host }) } };
}

async function read(file: string): Promise<unknown> {
  try {
    if (file.endsWith(".json")) return readJson(file, dirname(file));
    const module = await importModule({ name: `configuration ${basename(file)}`, url: pathToFileURL(file).href, folder: dirname(file) });
    if (module.default === undefined) throw new ConfigurationError("expected a default export made by defineConfig({ … }), found none");
    return module.default;
  } catch (error) {
    throw new ConfigurationError(`${file}: ${messageOf(error, messageMax)}`, { cause: error });
  }
}
