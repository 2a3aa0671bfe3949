/** `holdfast contracts types` and `docs`: what is made of the contracts, written to a file or to standard output. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Config } from "../core/config.ts";
import { ConfigurationError, HoldfastError, messageOf } from "../core/errors.ts";
import { makeFolder } from "../core/make-folder.ts";
import { asyncApiOf, type EventPlaces } from "../contracts/async-api.ts";
import { describeEvents } from "../contracts/describe-events.ts";
import { usersOf } from "../contracts/event-users.ts";
import { generateTypes } from "../contracts/generate-types.ts";
import { openRegistry } from "../contracts/read-contracts.ts";
import { type ContractsOptions, findContracts } from "./contracts-source.ts";
import { writeResult, writeText } from "./output.ts";

export interface ContractsWriteOptions extends ContractsOptions {
  /** `-` for standard output. */
  readonly out?: string;
  /** Writes nothing, and fails where the file is another. */
  readonly check?: boolean;
}

export interface ContractsDocsOptions extends ContractsWriteOptions {
  readonly format: "markdown" | "asyncapi";
}

const typesFile = "events.d.ts";
const docsFiles = { markdown: "EVENTS.md", asyncapi: "asyncapi.json" } as const;

export async function contractsTypes(options: ContractsWriteOptions): Promise<void> {
  const { folder } = await findContracts(options);
  put(generateTypes(await openRegistry(folder)), join(folder, typesFile), options, "contracts types");
}

export async function contractsDocs({ format, ...options }: ContractsDocsOptions): Promise<void> {
  const { folder, skills, config } = await findContracts(options);
  const registry = await openRegistry(folder);
  const users = usersOf(registry, skills);
  const made = format === "markdown" ? describeEvents(registry, users) : `${JSON.stringify(asyncApiOf(registry, users, placesOf(config)), undefined, 2)}\n`;
  put(made, join(folder, docsFiles[format]), options, `contracts docs --format ${format}`);
}

function put(text: string, usual: string, { out, check }: ContractsWriteOptions, command: string): void {
  if (out === "-") return writeResult(text);
  const file = out === undefined ? usual : resolve(out);
  if (check === true) {
    if (existsSync(file) && readFileSync(file, "utf8") === text) return writeText(`${file} is up to date\n`);
    throw new HoldfastError(
      "CONTRACTS_STALE",
      `${file}: expected what the contracts say now, found ${existsSync(file) ? "something else" : "no file"}; run 'holdfast ${command}' and commit it`,
    );
  }
  try {
    makeFolder(dirname(file));
    writeFileSync(file, text);
  } catch (error) {
    throw new ConfigurationError(`expected to write ${file}, found ${messageOf(error, 200)}; name another place with --out, or mend that`, { cause: error });
  }
  writeText(`wrote ${file}\n`);
}

function placesOf(config: Config | undefined): EventPlaces {
  const { sources = [], publish, serviceBus } = config ?? {};
  return {
    title: "Events",
    version: "1.0.0",
    host: hostOf(serviceBus),
    sources: sources.map((source) => ("queue" in source ? source.queue : source.topic)),
    entityOf: (eventType) => publish?.byEventType.get(eventType) ?? publish?.entity,
  };
}

/** Of a connection string that is written out, or of the namespace. */
function hostOf(serviceBus: Config["serviceBus"] | undefined): string | undefined {
  if (serviceBus === undefined) return undefined;
  if ("fullyQualifiedNamespace" in serviceBus) return serviceBus.fullyQualifiedNamespace;
  const { connectionString } = serviceBus;
  return typeof connectionString === "string" ? /Endpoint=sb:\/\/([^/;]+)/i.exec(connectionString)?.[1] : undefined;
}
