/** What a process uses of the memory that it may have. */
export interface MemoryUse {
  /** Resident, of the whole process. */
  readonly usedBytes: number;
  readonly limitBytes: number;
}
