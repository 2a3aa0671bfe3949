/** A memory control group of version 1; making one takes the rights of root. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = "/sys/fs/cgroup/memory";

/** As the image starts it. */
const nodeOptions = "--max-old-space-size-percentage=25";

export class MemoryGroup {
  /** Starts Node within the group: what it sizes its heaps by, it reads as it starts. */
  readonly node: string;
  readonly #path: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "holdfast-drill-"));

  private constructor(path: string) {
    this.#path = path;
    this.node = join(this.#folder, "node");
    const script = `#!/bin/sh\necho $$ > '${path}/cgroup.procs'\nNODE_OPTIONS=${nodeOptions} exec '${process.execPath}' "$@"\n`;
    writeFileSync(this.node, script, { mode: 0o755 });
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
    return Number(readFileSync(join(this.#path, "memory.max_usage_in_bytes"), "utf8"));
  }

  remove(): void {
    rmdirSync(this.#path);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
