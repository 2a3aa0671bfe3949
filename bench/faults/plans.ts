import { globSync } from "node:fs";
import { basename, resolve } from "node:path";

const folder = resolve(import.meta.dirname, "../../load/faults/plans");

/** Of the plans that come with the project. */
export function planNames(): readonly string[] {
  return globSync("*.json", { cwd: folder })
    .map((file) => basename(file, ".json"))
    .toSorted();
}

export function planFile(name: string): string {
  return resolve(folder, `${name}.json`);
}
