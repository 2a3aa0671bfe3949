/** Finds the configuration file, and lays over it what the environment and flags say. */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { openSecrets } from "../compose/secrets.ts";
import { type Config, parseConfig } from "../core/config.ts";
import { readEnvironment } from "../core/config/environment.ts";
import type { JsonSchema } from "../core/config/json-schema.ts";
import { type Assignment, type Layers, withAssignments } from "../core/config/layers.ts";
import { at, valueOf } from "../core/config/schema-places.ts";
import { ConfigurationError } from "../core/errors.ts";
import { type ConfigFile, readConfigFile, usualNames } from "./config-file.ts";
import { readConfigSchema } from "./config-schema.ts";
import { preferFormat } from "./log-line.ts";
import { keepForeignOutputApart } from "./output.ts";
import { surviveForeignErrors } from "./stray-errors.ts";

export interface LoadedConfig {
  readonly config: Config;
  /** Relative paths in the configuration start here. */
  readonly directory: string;
  readonly file: string;
  /** What the configuration was laid together of. */
  readonly layers: Layers;
  /** `FILE:LINE:COLUMN`, where it can be told. */
  readonly placeOf: ConfigFile["placeOf"];
  /** Variables of our prefix that are nothing of ours. */
  readonly unread: readonly string[];
}

const nameIt = "name one with --config FILE, or in the environment as HOLDFAST_CONFIG";

/** The one of the usual names that there is in the working folder: which of two is meant, nobody can tell. */
function usualFile(): string {
  const [name, other] = usualNames.filter((each) => existsSync(each));
  if (name === undefined) throw new ConfigurationError(`expected a configuration, found none of ${usualNames.join(", ")} in ${process.cwd()}; ${nameIt}`);
  if (other !== undefined) throw new ConfigurationError(`expected one configuration in ${process.cwd()}, found ${name} and ${other}; ${nameIt}`);
  return name;
}

/** Values that flags set, as the command has them. */
export interface ConfigFlags {
  /** `KEY=VALUE`, as often as it was given. */
  readonly set?: readonly string[] | undefined;
  readonly log?: string | undefined;
}

/** Reads `path`, or the one of the usual names in the working folder, and the secrets that it refers to. Throws `ConfigurationError`. */
export async function loadConfig(path: string | undefined, flags: ConfigFlags = {}): Promise<LoadedConfig> {
  const loaded = await readConfig(path, flags);
  await openSecrets(loaded.config, loaded.directory);
  return loaded;
}

/** The same without its secrets: for who only shows what it says. */
export async function readConfig(path: string | undefined, flags: ConfigFlags = {}): Promise<LoadedConfig> {
  const file = resolve(path ?? (process.env["HOLDFAST_CONFIG"] || usualFile()));
  if (!existsSync(file)) throw new ConfigurationError(`expected a configuration at ${file}, found no such file`);
  // Whoever loads a configuration runs code that others wrote: the file itself, and then the plugins that it lists.
  keepForeignOutputApart();
  surviveForeignErrors();
  const { input, placeOf } = await readConfigFile(file);
  const own = withoutSchema(input);
  preferFormat((own as { readonly logFormat?: unknown } | null)?.logFormat);
  const schema = readConfigSchema();
  const { assignments, mistakes, unread } = readEnvironment(process.env, schema, own);
  if (mistakes.length > 0) throw new ConfigurationError(`environment: ${mistakes.join("; ")}`);
  const layers: Layers = { file: own, environment: [...storeAssignment(own, assignments), ...assignments], flags: assignmentsOf(flags, schema) };
  const config = parseConfig(withAssignments(withAssignments(own, layers.environment), layers.flags), file, (place) => saidOf(place, layers, placeOf));
  return { config, directory: dirname(file), file, layers, placeOf, unread };
}

/** Editors look for it in the file. */
function withoutSchema(input: unknown): unknown {
  if (typeof input !== "object" || input === null || !("$schema" in input)) return input;
  const { $schema: _schema, ...own } = input;
  return own;
}

/** A configuration that names no store keeps it where `HOLDFAST_DATA` says, as the image does: what lies beside it cannot be written there. */
function storeAssignment(file: unknown, assignments: readonly Assignment[]): readonly Assignment[] {
  const folder = process.env["HOLDFAST_DATA"] ?? "";
  const isNamed = (typeof file === "object" && file !== null && "store" in file) || assignments.some(({ path }) => path[0] === "store");
  if (folder === "" || isNamed) return [];
  return [{ path: ["store"], value: { kind: "sqlite", path: resolve(folder, "runs.sqlite") }, by: "HOLDFAST_DATA" }];
}

/** What flags set. Throws `ConfigurationError`. */
export function assignmentsOf({ set = [], log }: ConfigFlags, schema: JsonSchema = readConfigSchema()): readonly Assignment[] {
  const assignments = set.map((text): Assignment => {
    const sign = text.indexOf("=");
    if (sign < 1) throw new ConfigurationError(`--set: expected KEY=VALUE, such as threads=4, found '${text.slice(0, 100)}'`);
    const path = text.slice(0, sign).trim().split(".");
    return { path, value: valueOf(at(schema, path), text.slice(sign + 1)), by: "--set" };
  });
  return log === undefined ? assignments : [...assignments, { path: ["logFormat"], value: log, by: "--log" }];
}

/** Who set what is wrong, behind the line about it. */
function saidOf(place: string, { environment, flags }: Layers, placeOf: ConfigFile["placeOf"]): string {
  const path = place.split(".");
  const by = [...environment, ...flags].findLast(({ path: assigned }) => assigned.every((key, index) => path[index] === key))?.by ?? placeOf(path);
  return by === undefined ? "" : ` (${by})`;
}
