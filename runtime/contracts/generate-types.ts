/** Writes the contracts as types: `declare module "holdfast"` tells `defineSkill`, `emit` and `createProducer` what each event carries. */
import { type ContractRegistry, type ContractType, type ContractVersion, newestOf } from "./registry.ts";
import { keyOf, typesOfSchema } from "./schema-types.ts";

const head = "// Written by `holdfast contracts types`. Do not edit it: change the contracts, and have it written again.\n";

export function generateTypes(registry: ContractRegistry): string {
  const types = [...registry.types.values()];
  const spaces = types.flatMap((type) => type.versions.map((version) => namespaceOf(type, version)));
  const entries = types.map((type) => `    ${keyOf(type.eventType)}: {\n${keysOf(type).join("")}    };\n`);
  return `${head}\ndeclare module "holdfast" {\n  interface EventContracts {\n${entries.join("")}  }\n}\n\n${spaces.join("\n")}\nexport {};\n`;
}

/** Each version by itself, and each major as its newest minor. */
function keysOf(type: ContractType): readonly string[] {
  const key = (name: string, version: ContractVersion): string => `      "${name}": ${nameOf(type, version)}.Payload;\n`;
  const newest = type.versions.filter((version) => version === newestOf(type, version.major));
  return [...type.versions.map((version) => key(version.version, version)), ...newest.map((version) => key(`${version.major}.x`, version))];
}

/** `OrderPlaced_1_0`; characters that no name may have are numbers. */
function nameOf({ eventType }: ContractType, { major, minor }: ContractVersion): string {
  const name = eventType.replaceAll(/[^A-Za-z0-9_]/g, (character) => `_${character.charCodeAt(0).toString(16)}_`);
  return `${/^\d/.test(name) ? "_" : ""}${name}_${major}_${minor}`;
}

function namespaceOf(type: ContractType, version: ContractVersion): string {
  const lines = typesOfSchema(version.jsonSchema).trimEnd().split("\n");
  return `export declare namespace ${nameOf(type, version)} {\n${lines.map((line) => (line === "" ? "" : `  ${line}`)).join("\n")}\n}\n`;
}
