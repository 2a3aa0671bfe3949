/**
 * Ends the process although a thread cannot be ended. `process.exit` waits for every thread of the process, and a thread in a call of
 * native code (a read of a pipe that nobody writes to, a computation of a C++ library) ends only when that call returns: it would wait
 * for ever, and whoever started the process with it. What then ends it with the right code is to become another program, which takes
 * no thread along.
 */
import type { Worker } from "node:worker_threads";

/** Threads of this process that have not ended: each may be in native code at any moment. */
const living = new Set<Worker>();

/** Knows of a thread until it ends. */
export function watchLiving(worker: Worker): void {
  if (!living.has(worker)) worker.once("exit", () => living.delete(worker));
  living.add(worker);
}

/** As `process.exit`, and without waiting for threads. */
export function endProcess(code: number): never {
  if (living.size > 0) {
    // Whoever writes the last lines of a log does so now.
    process.emit("exit", code);
    if (process.platform !== "win32") become(code);
    process.kill(process.pid, "SIGKILL");
  }
  process.exit(code);
}

function become(code: number): void {
  const { NODE_OPTIONS: _options, NODE_CHANNEL_FD: _channel, ...env } = process.env;
  process.execve?.(process.execPath, [process.execPath, "--eval", `process.exit(${code})`], env);
}
