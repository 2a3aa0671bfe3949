/** Which Node the runtime needs. This file imports nothing and uses nothing new: it has to run on any Node. */

/** The first with all it stands on: node:sqlite, type stripping without a flag, synchronous ESM. As in package.json's `engines`. */
const nodeMin = [24, 12] as const;

/** What to say when `version` is too old, in one line; undefined when it will do. */
export function tooOldNode(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  if (major > nodeMin[0] || (major === nodeMin[0] && minor >= nodeMin[1])) return undefined;
  return `expected Node ${nodeMin.join(".")} or later, found ${version}; install a newer Node`;
}
