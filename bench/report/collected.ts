/** The documents of one scenario or of all, as they lie in a file. */
import { readFileSync } from "node:fs";
import { ConfigurationError, messageOf } from "#runtime/core/errors.ts";
import { type ReportDocument, schemaVersion } from "../support/document.ts";

export interface Collected {
  readonly schema: typeof schemaVersion;
  readonly scenarios: readonly ReportDocument[];
}

export function collect(scenarios: readonly ReportDocument[]): Collected {
  return { schema: schemaVersion, scenarios };
}

export function readCollected(file: string): readonly ReportDocument[] {
  let found: (Partial<Collected> & Partial<ReportDocument>) | null;
  try {
    found = JSON.parse(readFileSync(file, "utf8")) as typeof found;
  } catch (error) {
    throw new ConfigurationError(`${file}: expected the JSON of a bench, found ${messageOf(error)}; make one with 'npm run bench -- all --out FOLDER'`);
  }
  if (found?.schema !== schemaVersion)
    throw new ConfigurationError(
      `${file}: expected the JSON of a bench with schema ${schemaVersion}, found ${found === null ? "null" : `schema ${String(found.schema)}`}; make one with 'npm run bench -- all --out FOLDER'`,
    );
  return found.scenarios ?? [found as ReportDocument];
}
