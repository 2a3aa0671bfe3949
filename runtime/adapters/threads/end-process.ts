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

/** Writes what is still to be written, and resolves once it is. */
type LastWriter = () => Promise<unknown>;

const lastWriters = new Set<LastWriter>();

/** Whoever reads the log may have stopped reading. */
const lastWordsMaxMs = 500;

/** Has `write` called before the process ends: a line that is on its way in another thread of Node's would be lost with it. */
export function beforeEnd(write: LastWriter): void {
  lastWriters.add(write);
}

let ending: Promise<never> | undefined;

/** As `process.exit`, without waiting for threads, and once what there is to say is written, or has taken half a second. The first code holds. */
export function endProcess(code: number): Promise<never> {
  ending ??= end(code);
  return ending;
}

async function end(code: number): Promise<never> {
  const tooLong = new Promise((resolve) => setTimeout(resolve, lastWordsMaxMs));
  await Promise.race([tooLong, Promise.allSettled(Array.from(lastWriters, (write) => write()))]);
  if (living.size > 0) {
    // Whoever cleans up when the process ends does so now.
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
