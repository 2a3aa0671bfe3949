/**
 * Keeps a process from reaching outside: what a skill does without a dependency (a `fetch`, a pool of its own, a child process, a thread,
 * which would have everything of its own) is refused before it leaves. It holds for this thread and for the rest of the process's life;
 * files, native code and look-ups of names are not looked at.
 */
import childProcesses, { ChildProcess } from "node:child_process";
import { Socket as DatagramSocket } from "node:dgram";
import { syncBuiltinESMExports } from "node:module";
import { Socket } from "node:net";
import { extname } from "node:path";
import threads, { type WorkerOptions } from "node:worker_threads";

/** The runtime's own, in which a plugin's import is tried before it is made here. */
const probeThread = new URL(`../skills/host/probe-thread${extname(import.meta.filename)}`, import.meta.url);

/** What was refused, in order. */
export interface Outside {
  readonly refused: readonly string[];
}

function addressOf([first, second]: readonly unknown[]): string {
  // Node hands normalised arguments over as a list in a list.
  const [options, host] = Array.isArray(first) ? (first as readonly unknown[]) : [first, second];
  if (typeof options === "object" && options !== null) {
    const { host: name = "localhost", port, path } = options as { readonly host?: string; readonly port?: number; readonly path?: string };
    return path === undefined || path === null ? `${name}:${port}` : path;
  }
  return typeof host === "string" ? `${host}:${String(options)}` : String(options);
}

/** Throws in the place of whatever would leave. Idempotent. */
export function closeOutside(): Outside {
  const refused: string[] = [];
  const refuse = (what: string): Error => {
    refused.push(what);
    return Object.assign(
      new Error(`${what} was refused before it left: nothing outside is asked while a run is gone through again, and there is no record of it`),
      {
        code: "OUTSIDE_REFUSED",
      },
    );
  };
  Socket.prototype.connect = function connect(this: Socket, ...given: readonly unknown[]): Socket {
    const error = refuse(`a connection to ${addressOf(given)}`);
    process.nextTick(() => this.destroy(error));
    return this;
  };
  const datagrams: { send: unknown } = DatagramSocket.prototype;
  datagrams.send = (): never => {
    throw refuse("a datagram");
  };
  const processes: { spawn: unknown } = ChildProcess.prototype as never;
  processes.spawn = (options: { readonly file?: string }): never => {
    throw refuse(`the start of '${options.file ?? "a process"}'`);
  };
  // These have no object of a class that could be held back.
  const blocking: Record<"spawnSync" | "execFileSync" | "execSync", unknown> = childProcesses;
  for (const name of ["spawnSync", "execFileSync", "execSync"] as const)
    blocking[name] = (file: unknown): never => {
      throw refuse(`the start of '${String(file)}'`);
    };
  const own: { Worker: unknown } = threads;
  const { Worker: ThreadWorker } = threads;
  own.Worker = function Worker(file: string | URL, options?: WorkerOptions): unknown {
    if (file instanceof URL && file.href === probeThread.href) return new ThreadWorker(file, options);
    throw refuse(`a thread of '${String(file)}'`);
  };
  // Otherwise modules that import them by name would have those of before.
  syncBuiltinESMExports();
  return { refused };
}
