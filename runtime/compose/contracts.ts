/** The contracts of events, where the configuration names a folder of them. What reads them is loaded only then. */
import { resolve } from "node:path";
import type { Config } from "../core/config.ts";
import type { ContractsSettings } from "../core/config/contracts.ts";
import type { EventContracts, UpcastTable } from "../skills/host/event-contracts.ts";

export interface ComposedContracts {
  /** With an absolute folder, from which threads read them for themselves. */
  readonly settings: ContractsSettings;
  readonly upcasts: UpcastTable;
}

/** Undefined where there are none. */
export function contractsOf({ contracts }: Pick<Config, "contracts">, directory: string): ContractsSettings | undefined {
  return contracts && { ...contracts, folder: resolve(directory, contracts.folder) };
}

/** Reads the contracts and checks each; throws `ConfigurationError`. */
export async function composeContracts(config: Pick<Config, "contracts">, directory: string): Promise<ComposedContracts | undefined> {
  const settings = contractsOf(config, directory);
  if (settings === undefined) return undefined;
  const { openRegistry } = await import("../contracts/read-contracts.ts");
  return { settings, upcasts: await openRegistry(settings.folder) };
}

/** For who sends events without running skills. Throws `ConfigurationError`. */
export async function compileContractsOf(config: Pick<Config, "contracts">, directory: string): Promise<EventContracts | undefined> {
  const settings = contractsOf(config, directory);
  if (settings === undefined) return undefined;
  const { openContracts } = await import("../contracts/compiled-contracts.ts");
  return openContracts(settings);
}
