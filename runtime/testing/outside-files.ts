/** What changes a file is refused, but below the temporary folder; what only reads goes on. */
import files from "node:fs";
import { tmpdir } from "node:os";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import sqlite from "node:sqlite";
import { fileURLToPath } from "node:url";
import { hookModules } from "../skills/host/module-hooks.ts";

/** Names what was asked for, and answers the error that goes in its place. */
export type Refuse = (what: string) => Error;

/** Of these, which arguments name what is changed. */
const changing: ReadonlyMap<string, readonly number[]> = new Map([
  ["appendFile", [0]],
  ["chmod", [0]],
  ["chown", [0]],
  ["copyFile", [1]],
  ["cp", [1]],
  ["lchmod", [0]],
  ["lchown", [0]],
  ["link", [1]],
  ["lutimes", [0]],
  ["mkdir", [0]],
  ["mkdtemp", [0]],
  ["open", [0]],
  ["rename", [0, 1]],
  ["rm", [0]],
  ["rmdir", [0]],
  ["symlink", [1]],
  ["truncate", [0]],
  ["unlink", [0]],
  ["utimes", [0]],
  ["writeFile", [0]],
]);
const { O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND } = files.constants;
const writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;

/** Undefined for what is open already. */
function pathOf(given: unknown): string | undefined {
  if (given instanceof URL) return fileURLToPath(given);
  return typeof given === "string" || Buffer.isBuffer(given) ? resolve(String(given)) : undefined;
}

function isBelow(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== "" && !way.startsWith("..") && !isAbsolute(way);
}

/** A link leads where it leads. */
function realPathOf(path: string): string {
  for (let at = path; ; at = dirname(at)) {
    try {
      return join(files.realpathSync(at), relative(at, path));
    } catch {
      if (at === dirname(at)) return path;
    }
  }
}

/** Whether it changes nothing after all. */
function isHarmless(name: string, given: readonly unknown[]): boolean {
  if (name === "mkdir") return files.existsSync(given[0] as string);
  if (name !== "open") return false;
  const flags = given[1] ?? "r";
  return typeof flags === "number" ? (flags & writing) === 0 : typeof flags !== "string" || /^r(?!.*\+)/.test(flags);
}

/** `also`: files that may be made, with what is named after them. */
export function closeFiles(refuse: Refuse, also: readonly string[]): void {
  const temporary = new Set([tmpdir(), files.realpathSync(tmpdir())]);
  const mayChange = (path: string): boolean => {
    if (path === "/dev/null" || also.some((file) => path === file || path.startsWith(`${file}.`))) return true;
    const real = realPathOf(path);
    return [...temporary].some((folder) => isBelow(real, folder));
  };
  const check = (name: string, given: readonly unknown[]): void => {
    for (const at of changing.get(name) ?? []) {
      const path = pathOf(given[at]);
      if (path !== undefined && !mayChange(path) && !isHarmless(name, given)) throw refuse(`a change of the file '${path}'`);
    }
  };
  const all: Record<string, (...given: readonly unknown[]) => unknown> = files as never;
  const promised: Record<string, (...given: readonly unknown[]) => unknown> = files.promises as never;
  for (const name of changing.keys()) {
    for (const own of [name, `${name}Sync`]) {
      const before = all[own];
      if (before === undefined) continue;
      const checked = (...given: readonly unknown[]): unknown => {
        const done = given.at(-1);
        try {
          check(name, given);
        } catch (error) {
          if (own !== name || typeof done !== "function") throw error;
          process.nextTick(done, error);
          return undefined;
        }
        return before.apply(files, given as unknown[]);
      };
      // Some have a form of their own for promises.
      all[own] = Object.defineProperties(checked, Object.getOwnPropertyDescriptors(before));
    }
    const before = promised[name];
    if (before === undefined) continue;
    promised[name] = async (...given) => {
      check(name, given);
      return before.apply(files.promises, given as unknown[]);
    };
  }
  closeDatabases(refuse, mayChange);
}

/** SQLite opens its files by itself. */
function closeDatabases(refuse: Refuse, mayChange: (path: string) => boolean): void {
  const check = (place: unknown): void => {
    const path = place === ":memory:" || place === "" ? undefined : pathOf(place);
    if (path !== undefined && !mayChange(path)) throw refuse(`a change of the file '${path}'`);
  };
  const { DatabaseSync, backup } = sqlite;
  const own: { DatabaseSync: unknown; backup: unknown } = sqlite;
  own.DatabaseSync = new Proxy(DatabaseSync, {
    construct(target, given: readonly unknown[], newTarget): object {
      const [place, options] = given as readonly [unknown, { readonly readOnly?: boolean } | undefined];
      if (options?.readOnly !== true) check(place);
      return Reflect.construct(target, given, newTarget) as object;
    },
  });
  own.backup = async (...given: Parameters<typeof backup>): Promise<number> => {
    check(given[1]);
    return backup(...given);
  };
  // Of a module that is known by its scheme alone, names that are imported are not those of now.
  const names = Object.keys(sqlite).join(", ");
  const url = `data:text/javascript,${encodeURIComponent(`const now = process.getBuiltinModule("node:sqlite"); export const { ${names} } = now; export default now;`)}`;
  hookModules({ resolve: (name, context, next) => (name === "node:sqlite" ? { url, format: "module", shortCircuit: true } : next(name, context)) });
}
