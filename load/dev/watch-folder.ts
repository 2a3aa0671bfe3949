/**
 * Tells of files that are saved below a folder. Linux has no watch of a whole tree, and Node's stand-in for it looks at each file by itself: one that
 * is replaced by a new one, as many editors, `sed -i` and `git checkout` do, is not looked at any more. Here each folder is watched, and folders stay.
 */
import { type FSWatcher, readdirSync, statSync, watch } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { ConfigurationError, messageOf } from "#runtime/core/errors.ts";

export interface FolderWatch {
  close(): void;
}

/** Nothing of a worker's own is below these, and they may be large. */
const isLeftOut = (name: string): boolean => name === "node_modules" || name.startsWith(".");

/** Tells a folder from another one that took its place, which may have the number of the one before; undefined where there is none. */
function identityOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found?.isDirectory() === true ? `${found.ino} ${found.birthtimeNs}` : undefined;
}

class TreeWatch implements FolderWatch {
  readonly #root: string;
  readonly #saved: (file: string) => void;
  /** By path. */
  readonly #folders = new Map<string, { readonly watcher: FSWatcher; readonly identity: string }>();
  readonly #above: FSWatcher;

  constructor(root: string, saved: (file: string) => void) {
    this.#root = root;
    this.#saved = saved;
    // One that is taken away and made again, as when branches are changed, is another folder.
    this.#above = begin(dirname(root), (name) => void (name === basename(root) && this.#look(root)));
    this.#look(root);
  }

  /** Brings what is watched in line with what is there; tells of all that lies in a folder that is new. */
  #look(folder: string): void {
    const identity = identityOf(folder);
    const known = this.#folders.get(folder);
    if (known?.identity === identity) return;
    this.#forget(folder);
    if (identity === undefined) return;
    const watcher = begin(folder, (name) => this.#heard(folder, name));
    this.#folders.set(folder, { watcher, identity });
    for (const { name } of readdirSync(folder, { withFileTypes: true })) this.#heard(folder, name);
  }

  #heard(folder: string, name: string): void {
    if (isLeftOut(name)) return;
    const path = join(folder, name);
    this.#saved(relative(this.#root, path));
    this.#look(path);
  }

  #forget(folder: string): void {
    for (const [path, { watcher }] of this.#folders) {
      if (path !== folder && !path.startsWith(join(folder, "/"))) continue;
      watcher.close();
      this.#folders.delete(path);
    }
  }

  close(): void {
    this.#above.close();
    this.#forget(this.#root);
  }
}

function begin(folder: string, heard: (name: string) => void, options: { readonly recursive?: boolean } = {}): FSWatcher {
  try {
    const watcher = watch(folder, options, (_event, name) => void (name !== null && heard(name)));
    // A folder that goes away is looked after from the one above it.
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch (error) {
    throw new ConfigurationError(
      `--watch: expected to watch ${folder}, found ${messageOf(error, 200)}; where it is the system's limit, raise it (sysctl fs.inotify.max_user_watches), else leave --watch out`,
      { cause: error },
    );
  }
}

/** `saved` is given each file relative to `folder`, maybe several times for one save. Throws `ConfigurationError` where the system watches no more. */
export function watchFolder(folder: string, saved: (file: string) => void): FolderWatch {
  if (process.platform !== "linux") return begin(folder, saved, { recursive: true });
  let isBegun = false;
  const watching = new TreeWatch(folder, (file) => void (isBegun && saved(file)));
  isBegun = true;
  return watching;
}

/** A single file, by the folder that it lies in: editors put a new file in the place of the old one. */
export function watchFile(file: string, saved: () => void): FolderWatch {
  return begin(dirname(file), (name) => void (name === basename(file) && saved()));
}
