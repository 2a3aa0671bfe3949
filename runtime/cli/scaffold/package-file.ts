import { existsSync, readFileSync } from "node:fs";
import { ConfigurationError, messageOf } from "../../core/errors.ts";

type Ranges = Readonly<Record<string, string>>;

/** What a project's `package.json` says of what it needs. */
export interface PackageFile {
  readonly dependencies?: Ranges;
  readonly devDependencies?: Ranges;
}

/** Undefined where there is no such file. Throws `ConfigurationError` for one that cannot be read. */
export function readPackageFile(file: string): PackageFile | undefined {
  if (!existsSync(file)) return undefined;
  let found: unknown;
  try {
    // Some editors begin a file with a mark of its encoding.
    found = JSON.parse(readFileSync(file, "utf8").replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new ConfigurationError(`${file}: expected a JSON object, found ${messageOf(error, 200)}; mend it`, { cause: error });
  }
  if (typeof found !== "object" || found === null || Array.isArray(found))
    throw new ConfigurationError(`${file}: expected a JSON object, found ${JSON.stringify(found)}; mend it`);
  return found;
}
