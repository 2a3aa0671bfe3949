/** What a process uses of the memory that it may have. */
export interface MemoryUse {
  /** Of the whole process, without what the system can take back by itself. */
  readonly usedBytes: number;
  readonly limitBytes: number;
}
