import { totalmem } from "node:os";
import type { MemoryUse } from "../../core/memory.ts";

/** Measures against `bytesMax`, else against the container's limit; where there is neither, there is nothing to measure against. */
export function memoryUseWithin(bytesMax: number | undefined): () => MemoryUse | undefined {
  const constrained = process.constrainedMemory();
  // Without a limit the system says 0, or more than there is.
  const limitBytes = bytesMax ?? (constrained > 0 && constrained < totalmem() ? constrained : undefined);
  return () => (limitBytes === undefined ? undefined : { usedBytes: process.memoryUsage.rss(), limitBytes });
}
