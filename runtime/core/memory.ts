/** What a process uses of the memory that it may have. */
export interface MemoryUse {
  /** Of the whole process, without what the system can take back by itself. */
  readonly usedBytes: number;
  readonly limitBytes: number;
}

/** What a collection gives back: objects that nobody uses, or every page as well that is kept for later ones. */
export type GarbageExtent = "unused" | "everything";
