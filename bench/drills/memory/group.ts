/** A memory control group of version 1; making one takes the rights of root. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = "/sys/fs/cgroup/memory";

export class MemoryGroup {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Undefined where none can be made. */
  static make(limitBytes: number): MemoryGroup | undefined {
    const path = join(root, `holdfast-drill-${process.pid}-${limitBytes}`);
    if (!existsSync(join(root, "memory.limit_in_bytes"))) return undefined;
    try {
      mkdirSync(path);
      writeFileSync(join(path, "memory.limit_in_bytes"), String(limitBytes));
      return new MemoryGroup(path);
    } catch {
      return undefined;
    }
  }

  /** The most that its processes have used, what the kernel caches for them included. */
  get peakBytes(): number {
    return Number(readFileSync(join(this.path, "memory.max_usage_in_bytes"), "utf8"));
  }

  remove(): void {
    rmdirSync(this.path);
  }
}
