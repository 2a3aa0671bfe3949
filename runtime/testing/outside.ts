/**
 * Keeps a process from reaching outside: what a skill does without a dependency (a `fetch`, a pool of its own, a child process) is refused
 * before it leaves. It holds for this thread and for the rest of the process's life; files are not looked at.
 */
import { ChildProcess } from "node:child_process";
import { Socket as DatagramSocket } from "node:dgram";
import { Socket } from "node:net";

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
  return { refused };
}
