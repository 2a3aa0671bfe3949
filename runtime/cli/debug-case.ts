import type { CompiledContracts } from "../contracts/compiled-contracts.ts";
import type { EventContracts, UpcastTable } from "../skills/host/event-contracts.ts";
import type { LoadedPlugin } from "../skills/host/plugins.ts";
import type { RerunOptions } from "../testing/rerun.ts";
import type { Found } from "./debug-source.ts";

/** What is gone through, and with what. */
export interface Case extends RerunOptions {
  readonly found: Found;
  readonly plugin: LoadedPlugin;
  readonly contracts: CompiledContracts | undefined;
  /** What the skill emits as it is gone through, whatever becomes of it. */
  readonly emitted: readonly EmittedPayload[];
}

export interface EmittedPayload {
  readonly eventType: string;
  readonly version: string;
  readonly payload: unknown;
}

/** The same contracts, which keep what they are to check. */
export function listening(contracts: CompiledContracts, heard: EmittedPayload[]): EventContracts & UpcastTable {
  return {
    receive: (event, skill) => contracts.receive(event, skill),
    reach: (eventType, version) => contracts.reach(eventType, version),
    checkEmitted: (eventType, version, payload) => {
      heard.push({ eventType, version, payload });
      contracts.checkEmitted(eventType, version, payload);
    },
  };
}
