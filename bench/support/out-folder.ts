import { accessSync, constants } from "node:fs";
import { ConfigurationError, messageOf } from "#runtime/core/errors.ts";
import { makeFolder } from "#runtime/core/make-folder.ts";

/** Makes the folder that results are to be written to, before anything is measured. Throws `ConfigurationError`. */
export function makeOutFolder(option: string, folder: string): void {
  try {
    makeFolder(folder);
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw new ConfigurationError(`${option}: expected a folder that can be written to at ${folder}, found ${messageOf(error, 200)}; name another one`, {
      cause: error,
    });
  }
}
