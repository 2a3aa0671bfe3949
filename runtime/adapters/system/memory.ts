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
  return () => (limitBytes === undefined ? undefined : { usedBytes: process.memoryUsage.rss(), limitBytes });
}

/** What messages may take of `bytesMax`, else of the container's limit, else of the machine's memory. */
export function heldBytesWithin(bytesMax: number | undefined): number {
  return Math.floor((bytesMax ?? constrainedBytes() ?? totalmem()) / 4);
}
