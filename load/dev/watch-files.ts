/** Tells of files that are saved, whichever way: written in place, replaced by a new one, or with the folder that they are in. */
import { isAbsolute, relative } from "node:path";
import { watch } from "chokidar";
import { ConfigurationError, messageOf } from "#runtime/core/errors.ts";

export interface WatchedPlaces {
  /** With all that is below them, but for what `isWanted` leaves out. */
  readonly folders: readonly string[];
  readonly files?: readonly string[];
  /** Whether a file is to be told of, by its path in its folder. What is below a folder that is not wanted is not watched. */
  readonly isWanted?: (path: string) => boolean;
}

export interface WatchListener {
  /** With the path of what was saved; once or several times for a save. */
  saved(path: string): void;
  /** Something that came later cannot be watched. */
  failed(error: ConfigurationError): void;
}

export interface FileWatch {
  close(): Promise<void>;
}

/** Rejects with `ConfigurationError` where the system watches no more. */
export async function watchFiles({ folders, files = [], isWanted = () => true }: WatchedPlaces, listener: WatchListener): Promise<FileWatch> {
  const isIgnored = (path: string): boolean => {
    const below = folders.map((folder) => relative(folder, path)).find((place) => !place.startsWith("..") && !isAbsolute(place));
    return below !== undefined && below !== "" && !isWanted(below) && !files.includes(path);
  };
  const fault = (cause: unknown): ConfigurationError =>
    new ConfigurationError(
      `--watch: expected to watch ${[...folders, ...files].join(", ")}, found ${messageOf(cause, 200)}; where it is the system's limit, raise it (sysctl fs.inotify.max_user_watches), else leave --watch out`,
      { cause },
    );
  const watcher = watch([...folders, ...files], { ignored: isIgnored, ignoreInitial: true });
  const ready = Promise.withResolvers<void>();
  watcher.on("all", (_event, path) => listener.saved(path)).on("error", (error) => ready.reject(fault(error)));
  watcher.on("ready", ready.resolve);
  try {
    await ready.promise;
  } catch (error) {
    await watcher.close();
    throw error;
  }
  watcher.on("error", (error) => listener.failed(fault(error)));
  return watcher;
}
