/**
 * The contracts of events, as files say them:
 *
 *   contracts/
 *     OrderPlaced/
 *       1.0.json  1.1.json  2.0.ts     what the payload is, by version: a JSON Schema, or a module whose default export is a Standard Schema or a JSON Schema
 *       1-2.ts                         default export: converts a payload of major 1 to one of the newest minor of major 2
 *       examples/1.0.json              a payload of 1.0; more of them as examples/1.0-minimal.json
 *     _shared/                         what modules share; names that begin with _ or . are no event types
 */
import type { JsonSchema, PayloadSchema } from "../skills/author/schema.ts";
import type { UpcastTable } from "../skills/host/event-contracts.ts";

export interface ContractVersion {
  /** `major.minor`. */
  readonly version: string;
  readonly major: number;
  readonly minor: number;
  /** From the folder of the contracts. */
  readonly file: string;
  /** What checks a payload. */
  readonly schema: PayloadSchema<unknown>;
  /** The same as a document. */
  readonly jsonSchema: JsonSchema;
}

export interface Upcaster {
  /** Majors. */
  readonly from: number;
  readonly to: number;
  readonly file: string;
  readonly convert: (payload: unknown) => unknown;
}

export interface ContractExample {
  readonly version: string;
  readonly file: string;
  readonly payload: unknown;
}

export interface ContractType {
  readonly eventType: string;
  /** Ascending; at least one. */
  readonly versions: readonly ContractVersion[];
  /** By the major that they convert. */
  readonly upcasters: ReadonlyMap<number, Upcaster>;
  readonly examples: readonly ContractExample[];
}

/** What is wrong with a file of the contracts. */
export interface ContractProblem {
  /** From the folder of the contracts; empty for the folder itself. */
  readonly file: string;
  /** What was expected, what was found, what to do. */
  readonly message: string;
}

export class ContractRegistry implements UpcastTable {
  readonly folder: string;
  /** By event type, in alphabetical order. */
  readonly types: ReadonlyMap<string, ContractType>;

  constructor(folder: string, types: readonly ContractType[]) {
    this.folder = folder;
    this.types = new Map(types.map((type) => [type.eventType, type]));
  }

  reach(eventType: string, version: string): readonly string[] {
    const type = this.types.get(eventType);
    return type === undefined ? [] : reachOf(type, version);
  }
}

/** The versions that upcasters make of one, nearest first. */
export function reachOf(type: ContractType, version: string): readonly string[] {
  return type.upcasters.size === 0 ? [] : upcastsOf(type, majorOf(version)).map(({ version: { version: later } }) => later);
}

export interface UpcastStep {
  readonly upcaster: Upcaster;
  /** Of what it returns: the newest minor of its major. */
  readonly version: ContractVersion;
}

/** The conversions that lie before a payload of this major, in their order. */
export function upcastsOf(type: ContractType, major: number): readonly UpcastStep[] {
  const steps: UpcastStep[] = [];
  for (let upcaster = type.upcasters.get(major); upcaster !== undefined; upcaster = type.upcasters.get(upcaster.to)) {
    const version = newestOf(type, upcaster.to);
    if (version === undefined) break;
    steps.push({ upcaster, version });
  }
  return steps;
}

/** The newest minor of a major; without one, the newest of all. */
export function newestOf({ versions }: Pick<ContractType, "versions">, major?: number): ContractVersion | undefined {
  return versions.findLast((one) => major === undefined || one.major === major);
}

export function majorOf(version: string): number {
  return Number(version.slice(0, version.indexOf(".")));
}
