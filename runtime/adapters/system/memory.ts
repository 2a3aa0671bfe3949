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
const idleBytes = 128 * 1024 ** 2;
const heldBytesMin = 4 * 1024 ** 2;
/** A thread needs some of it for its plugins. More than the other is what V8 can do with by itself. */
const threadHeapBytes = { min: 48 * 1024 ** 2, max: 4 * 1024 ** 3 };

/** How the memory of a worker is shared out. */
export interface MemoryShares {
  /** All that it may use, and who says so. */
  readonly limitBytes: number;
  readonly limitedBy: "memoryBytesMax" | "container" | "machine";
  /** For the bodies of messages. */
  readonly heldBytes: number;
  /** For the heap of each skill thread. */
  readonly threadHeapBytes: number;
  /** For the heap of the main thread; Node takes its limit at its start, and nothing changes it after that. */
  readonly mainHeapBytes: number;
}

export interface MemoryWishes {
  readonly memoryBytesMax?: number | undefined;
  readonly heldBytesMax?: number | undefined;
  readonly threadHeapBytesMax?: number | undefined;
}

/**
 * Shares out what the configuration, the container or the machine allows: of what an idle worker leaves of it a quarter to messages, and the
 * rest in equal parts to the main thread and each of `threads`.
 */
export function shareMemory({ memoryBytesMax, heldBytesMax, threadHeapBytesMax }: MemoryWishes, threads: number): MemoryShares {
  const constrained = constrainedBytes();
  const limitedBy = memoryBytesMax !== undefined ? "memoryBytesMax" : constrained !== undefined ? "container" : "machine";
  const limitBytes = memoryBytesMax ?? constrained ?? totalmem();
  const heldBytes = heldBytesMax ?? Math.max(heldBytesMin, Math.floor((limitBytes - idleBytes) / 4));
  const part = Math.floor((limitBytes - idleBytes - heldBytes) / (threads + 1));
  const fitting = Math.min(threadHeapBytes.max, Math.max(threadHeapBytes.min, part));
  return { limitBytes, limitedBy, heldBytes, threadHeapBytes: threadHeapBytesMax ?? fitting, mainHeapBytes: Math.max(fitting, Math.floor(limitBytes / 4)) };
}
