/**
 * What a worker of `holdfast dev --plugin` is configured with: a broker and a store of this machine, and what the project's own configuration says to these plugins.
 * Of the rest of that nothing is taken: neither its broker and its stores, nor what reports elsewhere.
 */
import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { readConfigFile, usualNames } from "#runtime/cli/config-file.ts";
import { assignmentsOf } from "#runtime/cli/load-config.ts";
import { withAssignments } from "#runtime/core/config/layers.ts";
import type { ConfigInput } from "#runtime/core/config.ts";
import { capitals } from "#runtime/core/config/environment.ts";
import { ConfigurationError, messageOf } from "#runtime/core/errors.ts";
import type { Broker } from "../broker/broker.ts";

export const inputQueue = "events";
export const outputQueue = "emitted";
/** In which the worker before it ends what it has under way; what is not ended by then goes on from its checkpoint. */
const stopBudgetMs = 30_000;

/** A plugin, as its manifest has it. */
export interface PluginPlace {
  readonly name: string;
  readonly folder: string;
  readonly entry: string;
  readonly stubs: string | undefined;
  readonly skills: readonly string[];
  readonly dependencies: readonly string[];
}

/** What a worker is told when it begins. */
export interface DevPlan {
  readonly config: ConfigInput;
  /** The project's own configuration; undefined where there is none. */
  readonly own: string | undefined;
  /** Of these its configuration is taken. */
  readonly plugins: readonly Pick<PluginPlace, "name" | "skills" | "dependencies">[];
  /** `KEY=VALUE`, before all that. */
  readonly set: readonly string[];
}

const namesIn = (value: unknown): readonly string[] => (Array.isArray(value) ? value.filter((name) => typeof name === "string") : []);

/** Throws `ConfigurationError`. */
export function placeOf(listed: string): PluginPlace {
  const manifest = resolve(listed, "holdfast.plugin.json");
  let said: { readonly name?: unknown; readonly entry?: unknown; readonly skills?: unknown; readonly dependencies?: unknown };
  try {
    said = JSON.parse(readFileSync(manifest, "utf8")) as typeof said;
  } catch (error) {
    throw new ConfigurationError(`--plugin: expected the folder of a plugin, with its manifest, found: ${messageOf(error, 300)}`);
  }
  const folder = realpathSync(resolve(listed));
  const entry = resolve(folder, typeof said.entry === "string" ? said.entry : "index.ts");
  const stubs = join(folder, `stubs${extname(entry)}`);
  return {
    name: String(said.name),
    folder,
    entry,
    stubs: existsSync(stubs) ? stubs : undefined,
    skills: namesIn(said.skills),
    dependencies: namesIn(said.dependencies),
  };
}

/** The one that is named, or the nearest at the plugin or above it. Throws `ConfigurationError`. */
export function findOwnConfig(named: string | undefined, plugin: string): string | undefined {
  if (named !== undefined) {
    if (!existsSync(named)) throw new ConfigurationError(`--config: expected a configuration at ${resolve(named)}, found no such file`);
    return resolve(named);
  }
  for (let folder = plugin; ; folder = dirname(folder)) {
    const [file, other] = usualNames.map((name) => join(folder, name)).filter((path) => existsSync(path));
    if (other !== undefined) throw new ConfigurationError(`expected one configuration in ${folder}, found ${file} and ${other}; name one with --config FILE`);
    if (file !== undefined || folder === dirname(folder)) return file;
  }
}

export function configOf(broker: Broker, places: readonly PluginPlace[], folder: string): ConfigInput {
  return {
    sources: [{ queue: inputQueue }],
    serviceBus: { connectionString: broker.connectionString },
    store: { kind: "sqlite", path: join(folder, "runs.sqlite") },
    plugins: places.map((place) => place.folder),
    pluginRoots: places.map((place) => dirname(place.folder)),
    publish: { entity: outputQueue },
    threads: 1,
    admin: { port: 0 },
    stopBudgetMs,
  };
}

/** The environment without what would lead the worker away from this machine: only what it says to these plugins is left. */
export function environmentOf(env: NodeJS.ProcessEnv, plugins: readonly Pick<PluginPlace, "name">[]): NodeJS.ProcessEnv {
  const ours = plugins.map(({ name }) => `HOLDFAST_SETTINGS__${capitals(name)}__`);
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("HOLDFAST_") || ours.some((prefix) => name.startsWith(prefix))));
}

type Named = Readonly<Record<string, unknown>>;

const isNamed = (value: unknown): value is Named => typeof value === "object" && value !== null && !Array.isArray(value);

/** What is said of these names, and of no others: those are refused. */
function only(value: unknown, names: readonly string[]): Named {
  return isNamed(value) ? Object.fromEntries(Object.entries(value).filter(([name]) => names.includes(name))) : {};
}

/** References to files are meant from the folder of the configuration that has them. */
function withPaths(value: unknown, directory: string): unknown {
  if (Array.isArray(value)) return value.map((entry) => withPaths(entry, directory));
  if (!isNamed(value) || ![Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)) return value;
  const { file, ...others } = value;
  if (typeof file === "string" && Object.keys(others).length === 0) return { file: resolve(directory, file) };
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withPaths(entry, directory)]));
}

function contractsIn(value: unknown, directory: string): unknown {
  if (typeof value === "string") return resolve(directory, value);
  return isNamed(value) && typeof value["folder"] === "string" ? { ...value, folder: resolve(directory, value["folder"]) } : value;
}

/**
 * Writes the configuration of a worker to a file, which `holdfast send` and `holdfast debug` read as well. Resolves with what else a save of may change it. Throws
 * `ConfigurationError`.
 */
export async function writeDevConfig(file: string, { config, own, plugins, set }: DevPlan): Promise<readonly string[]> {
  const input = own === undefined ? {} : (await readConfigFile(own)).input;
  if (!isNamed(input)) throw new ConfigurationError(`${own}: expected an object, found ${typeof input}`);
  const directory = own === undefined ? "" : dirname(own);
  const dependencies = plugins.flatMap((plugin) => plugin.dependencies);
  const saidOf = only(input["dependencies"], dependencies);
  const contracts = contractsIn(input["contracts"], directory);
  // Stand-ins take their place; an HTTP dependency has to be somewhere all the same.
  const nowhere = (name: string): [string, Named] => [name, { ...(saidOf[name] as Named | undefined), baseUrl: "http://stand-in.invalid" }];
  const whole = {
    ...config,
    dependencies: Object.fromEntries(dependencies.map(nowhere)),
    skills: only(
      input["skills"],
      plugins.flatMap(({ skills }) => skills),
    ),
    settings: withPaths(
      only(
        input["settings"],
        plugins.map(({ name }) => name),
      ),
      directory,
    ),
    contracts,
  };
  writeFileSync(file, `${JSON.stringify(withAssignments(whole, assignmentsOf({ set })), undefined, 2)}\n`, { mode: 0o600 });
  const folder = isNamed(contracts) ? contracts["folder"] : contracts;
  return typeof folder === "string" ? [folder] : [];
}
