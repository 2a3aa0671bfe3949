import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import type { MemoryUse } from "../../core/memory.ts";

/** What the process may use: the container's limit; undefined where there is none. */
function constrainedBytes(): number | undefined {
  const constrained = process.constrainedMemory();
  // Without a limit the system says 0, or more than there is.
  return constrained > 0 && constrained < totalmem() ? constrained : undefined;
}

/** Measures against `bytesMax`, else against the container's limit; where there is neither, there is nothing to measure against. */
export function memoryUseWithin(bytesMax: number | undefined): () => MemoryUse | undefined {
  const limitBytes = bytesMax ?? constrainedBytes();
  return () => (limitBytes === undefined ? undefined : { usedBytes: usedBytes(), limitBytes });
}

/** What cannot be taken back from the process: pages of files that it has mapped can. */
function usedBytes(): number {
  try {
    const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    if (kib !== undefined) return Number(kib) * 1_024;
  } catch {
    // Not every system has it.
  }
  return process.memoryUsage.rss();
}

/** What a worker takes that holds nothing. */
const idleBytes = 160 * 1024 ** 2;
const heldBytesMin = 4 * 1024 ** 2;

/** What messages may take of `bytesMax`, else of the container's limit, else of the machine's memory: a quarter of what an idle worker leaves. */
export function heldBytesWithin(bytesMax: number | undefined): number {
  return Math.max(heldBytesMin, Math.floor(((bytesMax ?? constrainedBytes() ?? totalmem()) - idleBytes) / 4));
}
