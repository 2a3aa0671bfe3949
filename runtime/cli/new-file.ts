/** A file that a command makes: it is there whole or not at all, and never in the place of another one. */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { type FileHandle, link, open, rename, rm } from "node:fs/promises";
import { ConfigurationError, messageOf } from "../core/errors.ts";

/** Of file systems that have no second names for a file. */
const noLinks: ReadonlySet<unknown> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

/** Writes beside `path`, and gives the file its name when all is written. What is killed leaves a file that is named `….partial`. */
export async function writeNewFile(option: string, path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const refuse = (found: string): ConfigurationError => new ConfigurationError(`${option}: expected a file that can be made, found ${found}; name another`);
  if (existsSync(path)) throw refuse(`that '${path}' exists`);
  const partial = `${path}.${randomUUID().slice(0, 8)}.partial`;
  const file = await open(partial, "wx", 0o600).catch((error: unknown) => {
    throw refuse(messageOf(error, 200));
  });
  try {
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await name(partial, path).catch((error: unknown) => {
      throw refuse(messageOf(error, 200));
    });
  } finally {
    await rm(partial, { force: true });
  }
}

/** A second name is given only where there is none, which a move does not look at. */
async function name(partial: string, path: string): Promise<void> {
  try {
    await link(partial, path);
  } catch (error) {
    if (!noLinks.has((error as NodeJS.ErrnoException).code) || existsSync(path)) throw error;
    await rename(partial, path);
  }
}
