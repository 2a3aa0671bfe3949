/** `holdfast send --example NAME`: an event that is kept beside its skill, `examples/NAME.json` in a plugin's folder. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { isEventType } from "../core/event-envelope.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import { didYouMean } from "../core/near-name.ts";
import { readConfig } from "./load-config.ts";
import type { SendOptions } from "./send.ts";

/** What an example says of its event; what it leaves out the options say. */
type Example = Pick<SendOptions, "eventType" | "payload"> & Partial<Pick<SendOptions, "eventVersion" | "project" | "session">>;

/** Folders of examples: of the plugins that the configuration lists by their folders. */
async function foldersOf(config: string | undefined): Promise<readonly string[]> {
  const { config: read, directory } = await readConfig(config);
  return read.plugins.flatMap((plugin) => (typeof plugin === "string" && /^[./]/.test(plugin) ? [join(resolve(directory, plugin), "examples")] : []));
}

function examplesIn(folders: readonly string[]): ReadonlyMap<string, string> {
  const files = folders.filter((folder) => existsSync(folder)).flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  return new Map(files.filter((file) => file.endsWith(".json")).map((file) => [basename(file, ".json"), file]));
}

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/**
 * A file holds an event (`eventType` and `payload`, and what else an envelope says), or a payload alone: then its event's type is the file's name, up to
 * the first dot, as in `RefundRequested.large.json`. Throws `ConfigurationError`.
 */
export async function readExample(name: string, config: string | undefined): Promise<Example> {
  const folders = await foldersOf(config);
  const examples = examplesIn(folders);
  const file = existsSync(name) ? name : examples.get(name.replace(/\.json$/, ""));
  if (file === undefined) {
    const known = [...examples.keys()];
    const places = folders.join(", ") || "the configuration's plugins, none of which is listed by its folder";
    throw new ConfigurationError(
      known.length === 0
        ? `--example: expected '${name}' to be a file, or an example of a plugin, found no examples in ${places}; give the path of a file, or write examples/NAME.json in a plugin's folder`
        : `--example: expected one of ${known.join(", ")} in ${places}, found '${name}'${didYouMean(name, known)}`,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8")) as unknown;
  } catch (error) {
    throw new ConfigurationError(`--example: expected ${file} to hold JSON, found: ${messageOf(error, 200)}`);
  }
  const event = typeof json === "object" && json !== null && "eventType" in json && "payload" in json ? (json as Readonly<Record<string, unknown>>) : undefined;
  const eventType = event === undefined ? (basename(file).split(".")[0] ?? "") : String(event["eventType"]);
  const isType: boolean = isEventType(eventType);
  if (!isType) throw new ConfigurationError(`--example: expected ${file} to be named after its event's type, or to hold it, found '${eventType}'`);
  const said = { eventVersion: textOf(event?.["version"]), project: textOf(event?.["projectId"]), session: textOf(event?.["sessionId"]) };
  return {
    eventType,
    payload: JSON.stringify(event === undefined ? json : event["payload"]),
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
  };
}
