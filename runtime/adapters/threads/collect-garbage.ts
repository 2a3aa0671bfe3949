import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { GarbageExtent } from "../../core/memory.ts";

type Collect = (options: { readonly type: "major"; readonly flavor: "regular" | "last-resort" }) => void;

/** Far more than threads could get into each other's way. */
const attemptsMax = 1_000;

let collect: Collect | undefined;

/**
 * Has this thread's heap collected now. V8 collects when it wants memory: an idle thread keeps what it does not use, bodies of
 * messages off the heap included, though the process is near its limit. `everything` has it give back pages of the heap that are partly
 * empty as well, which takes several times as long (a tenth of a second for 30 MB): for threads that have nothing to do.
 */
export function collectGarbage(extent: GarbageExtent): void {
  collect ??= findCollect();
  collect({ type: "major", flavor: extent === "everything" ? "last-resort" : "regular" });
}

/** Flags are the whole process's: another thread that looks for the same at this moment may take the flag back between two lines here. */
function findCollect(): Collect {
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    setFlagsFromString("--expose-gc");
    const found = runInNewContext("globalThis.gc") as Collect | undefined;
    setFlagsFromString("--no-expose-gc");
    if (found !== undefined) return found;
  }
  // A Node whose flags cannot be changed any more collects when it does: that must not keep a thread from its work.
  return () => undefined;
}
