/** What a worker's parts may take of its memory. */
import { availableParallelism } from "node:os";
import { getHeapStatistics } from "node:v8";
import { type MemoryShares, shareMemory } from "../adapters/system/memory.ts";
import type { Config } from "../core/config.ts";
import type { ComposedSkills } from "./skills.ts";

export interface ComposedMemory extends MemoryShares {
  /** Threads that may each take a thread's share. */
  readonly threads: number;
  /** What Node allows the main thread's heap. */
  readonly mainHeapLimitBytes: number;
}

export function composeMemory(config: Config, { registry }: Pick<ComposedSkills, "registry">): ComposedMemory {
  const dedicated = registry.skills.filter(({ isolation }) => isolation === "dedicated").length;
  const threads = (config.threads ?? availableParallelism()) + dedicated;
  return { ...shareMemory(config, threads), threads, mainHeapLimitBytes: getHeapStatistics().heap_size_limit };
}

const mib = 1024 ** 2;

/** For people to read. */
export function describeMemory({ limitBytes, limitedBy, heldBytes, threadHeapBytes, threads, mainHeapLimitBytes }: ComposedMemory): string {
  const mb = (bytes: number): string => `${Math.round(bytes / mib)} MiB`;
  const by = { memoryBytesMax: "as memoryBytesMax says", container: "as the container allows", machine: "as the machine has" }[limitedBy];
  const each = threads === 1 ? "of the skill thread" : `of each of ${threads} skill threads`;
  return `${mb(limitBytes)}, ${by}: bodies ${mb(heldBytes)}, heap ${each} ${mb(threadHeapBytes)}, heap of the main thread ${mb(mainHeapLimitBytes)}`;
}
