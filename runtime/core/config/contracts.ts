// Where the contracts of events lie, and what becomes of an event that has none.
import { z } from "zod";

/** What is done about an event whose type and version have no contract: `allow` runs it unchecked, `refuse` dead-letters it, and keeps it from being emitted. */
export type UnknownContracts = "allow" | "refuse";

/**
 * The folder of the contracts, from the configuration's folder: `contracts/<EventType>/<major>.<minor>.json` (or `.ts`). Payloads are checked by them before a skill
 * runs, and when an event is emitted or sent.
 */
export type ContractsConfig = string | { readonly folder: string; /** Default `allow`. */ readonly unknown?: UnknownContracts | undefined };

export interface ContractsSettings {
  readonly folder: string;
  readonly unknown: UnknownContracts;
}

export const contractsSchema: z.ZodType<ContractsSettings, ContractsConfig> = z.union([
  z
    .string()
    .min(1)
    .transform((folder): ContractsSettings => ({ folder, unknown: "allow" })),
  z.strictObject({ folder: z.string().min(1), unknown: z.enum(["allow", "refuse"]).default("allow") }),
]);
