import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface OwnPackage {
  readonly name: string;
  /** Where it lies. */
  readonly folder: string;
  /** `unknown` where there is no package. */
  readonly version: string;
  /** Ranges of what it depends on, for use and for development, by name. */
  readonly versions: ReadonlyMap<string, string>;
}

/** The runtime's package: the nearest package.json upwards that has a version, since dist/ has one without. */
export function ownPackage(): OwnPackage {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const file = join(folder, "package.json");
    if (!existsSync(file)) continue;
    const {
      name = "holdfast",
      version,
      dependencies,
      devDependencies,
    } = JSON.parse(readFileSync(file, "utf8")) as {
      readonly name?: string;
      readonly version?: string;
      readonly dependencies?: Readonly<Record<string, string>>;
      readonly devDependencies?: Readonly<Record<string, string>>;
    };
    if (version !== undefined) return { name, folder, version, versions: new Map(Object.entries({ ...devDependencies, ...dependencies })) };
  }
  return { name: "holdfast", folder: import.meta.dirname, version: "unknown", versions: new Map() };
}

export function ownVersion(): string {
  return ownPackage().version;
}
