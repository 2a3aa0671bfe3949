import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The package's version: of the nearest package.json upwards that has one, since dist/ has one without. */
export function ownVersion(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const file = join(folder, "package.json");
    if (!existsSync(file)) continue;
    const { version } = JSON.parse(readFileSync(file, "utf8")) as { readonly version?: string };
    if (version !== undefined) return version;
  }
  return "unknown";
}
