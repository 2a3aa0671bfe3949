// Which contracts a command is about, and whose skills use them.
import { relative, resolve } from "node:path";
import { contractsOf } from "../compose/contracts.ts";
import { describeSkills } from "../compose/skills.ts";
import type { Config } from "../core/config.ts";
import { ConfigurationError } from "../core/errors.ts";
import type { UsingSkill } from "../contracts/event-users.ts";
import { readConfig } from "./load-config.ts";

export interface ContractsOptions {
  readonly config?: string;
  /** In place of a configuration. */
  readonly folder?: string;
}

export interface ContractsSource {
  /** Absolute. */
  readonly folder: string;
  /** As people would write it here. */
  readonly named: string;
  readonly skills: readonly UsingSkill[];
  /** Undefined where only a folder is named. */
  readonly config: Config | undefined;
}

/** Throws `ConfigurationError`. */
export async function findContracts({ config: file, folder: given }: ContractsOptions): Promise<ContractsSource> {
  if (given !== undefined) return { folder: resolve(given), named: given, skills: [], config: undefined };
  const { config, directory, file: found } = await readConfig(file);
  const settings = contractsOf(config, directory);
  if (settings === undefined)
    throw new ConfigurationError(
      `contracts: expected ${found} to name the folder of the contracts, found nothing; set contracts: "./contracts", or name a folder with --folder`,
    );
  const skills = await describeSkills(config, directory);
  return {
    folder: settings.folder,
    named: relative(process.cwd(), settings.folder) || ".",
    skills: skills.map(({ name, plugin, handles, emits }) => ({ name, plugin: plugin.name, handles, emits })),
    config,
  };
}
