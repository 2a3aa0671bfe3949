import { existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigurationError, messageOf } from "../../core/errors.ts";
import { makeFolder } from "../../core/make-folder.ts";

/** Writes files below `root`; writes none where one is there already. Throws `ConfigurationError`. */
export function writeFiles(root: string, files: ReadonlyMap<string, string>): void {
  const there = [...files.keys()].filter((path) => existsSync(join(root, path)));
  if (there.length > 0)
    throw new ConfigurationError(`expected ${root} to hold nothing that is made now, found ${there.join(", ")}; choose another name, or move what is there`);
  try {
    for (const [path, text] of files) {
      makeFolder(dirname(join(root, path)));
      writeFileSync(join(root, path), text);
    }
  } catch (error) {
    throw new ConfigurationError(`expected a folder that can be written to at ${root}, found ${messageOf(error, 200)}; choose another place, or mend that`, {
      cause: error,
    });
  }
}
