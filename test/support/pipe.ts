import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

export interface Pipe {
  readonly path: string;
  /** Lets everybody go who waits for it. */
  release(): void;
}

/** A named pipe: who opens it to read is in native code until it is released, by the end of the test at the latest. */
export function makePipe(t: TestContext): Pipe {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-pipe-"));
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  const release = (): void => {
    try {
      closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    } catch (error) {
      // Nobody waits.
      if ((error as NodeJS.ErrnoException).code !== "ENXIO") throw error;
    }
  };
  t.after(() => {
    release();
    rmSync(folder, { recursive: true, force: true });
  });
  return { path, release };
}
