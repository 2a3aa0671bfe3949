import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** In bytes. */
export interface Memory {
  readonly rss: number;
  readonly heapUsed: number;
  /** Off the heap, array buffers included. */
  readonly external: number;
}

let collect: (() => void) | undefined;

/**
 * Collects the garbage there is, once: what was left before a turn is not the turn's. Once alone, because code that is not
 * used over several collections is thrown away, and would be compiled in the turn.
 */
export function collectGarbage(): void {
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
  }
  collect();
}

/** Collects all garbage, then reads the memory of this process. */
export async function collectedMemory(): Promise<Memory> {
  // What is behind buffers is given back a turn after the buffers.
  for (let times = 0; times < 3; times += 1) {
    collectGarbage();
    await nextTurn();
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heapUsed, external };
}
