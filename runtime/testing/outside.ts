/**
 * Keeps a process from reaching outside: what a skill does without a dependency (a `fetch`, a pool of its own, a look-up of a name, a child process, a signal to
 * another one, a thread, which would have everything of its own, a file that it changes, native code, which nobody could look into) is refused before it leaves. It
 * holds for this thread and for those in which the runtime tries an import, for the rest of the process's life.
 */
import childProcesses, { ChildProcess } from "node:child_process";
import { Socket as DatagramSocket } from "node:dgram";
import names from "node:dns";
import { syncBuiltinESMExports } from "node:module";
import { Socket } from "node:net";
import { extname } from "node:path";
import threads, { type WorkerOptions } from "node:worker_threads";
import { closeFiles, type Refuse } from "./outside-files.ts";

const extension = extname(import.meta.filename);
/** The runtime's own, in which a plugin's import is tried before it is made here, and looked at where it fails. */
const ownThreads: ReadonlySet<string> = new Set(
  ["probe-thread", "thrown-place-thread"].map((name) => new URL(`../skills/host/${name}${extension}`, import.meta.url).href),
);
/** Closes them, too. */
const first = new URL(`./outside-thread${extension}`, import.meta.url).href;

/** Each asks a name server, or may. */
const asksNames = /^(?:lookup|lookupService|resolve[A-Za-z0-9]*|reverse)$/;

/** What was refused, in order. */
export interface Outside {
  readonly refused: readonly string[];
  /** Files of native code that plugins asked for: refused, or let in where that was allowed. */
  readonly native: readonly string[];
  /** From now on this file may be made. */
  mayWrite(file: string): void;
}

export interface OutsideOptions {
  /** Let native code in, whatever it does. Default false. */
  readonly native?: boolean | undefined;
}

function addressOf([given, second]: readonly unknown[]): string {
  // Node hands normalised arguments over as a list in a list.
  const [options, host] = Array.isArray(given) ? (given as readonly unknown[]) : [given, second];
  if (typeof options === "object" && options !== null) {
    const { host: name = "localhost", port, path } = options as { readonly host?: string; readonly port?: number; readonly path?: string };
    return path === undefined || path === null ? `${name}:${port}` : path;
  }
  return typeof host === "string" ? `${host}:${String(options)}` : String(options);
}

/** Throws in the place of whatever would leave. Idempotent. */
export function closeOutside({ native: letsNativeIn = false }: OutsideOptions = {}): Outside {
  const refused: string[] = [];
  const native: string[] = [];
  const files: string[] = [];
  const refuse: Refuse = (what) => {
    refused.push(what);
    return refusal(`${what} was refused before it left: nothing outside is asked while a run is gone through again, and there is no record of it`);
  };
  closeNetwork(refuse);
  closeProcesses(refuse);
  closeThreads(refuse);
  closeFiles(refuse, files);
  closeNative(refuse, native, letsNativeIn);
  // Otherwise modules that import them by name would have those of before.
  syncBuiltinESMExports();
  return { refused, native, mayWrite: (file) => void files.push(file) };
}

function refusal(message: string): Error {
  return Object.assign(new Error(message), { code: "OUTSIDE_REFUSED" });
}

function closeNetwork(refuse: Refuse): void {
  Socket.prototype.connect = function connect(this: Socket, ...given: readonly unknown[]): Socket {
    const error = refuse(`a connection to ${addressOf(given)}`);
    process.nextTick(() => this.destroy(error));
    return this;
  };
  const datagrams: { send: unknown } = DatagramSocket.prototype;
  datagrams.send = (): never => {
    throw refuse("a datagram");
  };
  closeLookUps([names, names.Resolver.prototype], refuse, (error, done) => {
    if (typeof done !== "function") throw error;
    process.nextTick(done, error);
  });
  closeLookUps([names.promises, names.promises.Resolver.prototype], refuse, async (reason) => {
    throw reason;
  });
}

/** `fail` is given what the last argument is: a callback, mostly. */
function closeLookUps(places: readonly object[], refuse: Refuse, fail: (error: Error, last: unknown) => unknown): void {
  for (const place of places) {
    for (const name of Object.getOwnPropertyNames(place)) {
      if (!asksNames.test(name)) continue;
      Object.assign(place, { [name]: (...given: readonly unknown[]): unknown => fail(refuse(`a look-up of '${String(given[0])}'`), given.at(-1)) });
    }
  }
}

function closeProcesses(refuse: Refuse): void {
  const processes: { spawn: unknown } = ChildProcess.prototype as never;
  processes.spawn = (options: { readonly file?: string }): never => {
    throw refuse(`the start of '${options.file ?? "a process"}'`);
  };
  // These have no object of a class that could be held back.
  const blocking: Record<"spawnSync" | "execFileSync" | "execSync", (file: string, ...more: readonly never[]) => unknown> = childProcesses;
  for (const name of ["spawnSync", "execFileSync", "execSync"] as const) {
    const before = blocking[name];
    blocking[name] = (file, ...more) => {
      // So the runtime finds the place of a syntax error; nothing of the file is run.
      const isOwnCheck = name === "spawnSync" && file === process.execPath && (more[0] as readonly unknown[] | undefined)?.[0] === "--check";
      if (isOwnCheck) return before(file, ...more);
      throw refuse(`the start of '${file}'`);
    };
  }
  const kill = process.kill.bind(process);
  process.kill = (pid, signal) => {
    // A process may end itself, and ask whether another one is there.
    if (pid === process.pid || signal === 0) return kill(pid, signal);
    throw refuse(`a signal to process ${pid}`);
  };
}

function closeThreads(refuse: Refuse): void {
  const own: { Worker: unknown } = threads;
  const { Worker: ThreadWorker } = threads;
  own.Worker = function Worker(file: string | URL, options: WorkerOptions = {}): unknown {
    if (file instanceof URL && ownThreads.has(file.href))
      return new ThreadWorker(file, { ...options, execArgv: [...(options.execArgv ?? process.execArgv), "--import", first] });
    throw refuse(`a thread of '${String(file)}'`);
  };
}

/** It is told apart from what is refused: many packages try it, and go on without. */
function closeNative(refuse: Refuse, asked: string[], isLetIn: boolean): void {
  const given: { dlopen: unknown; binding?: unknown } = process;
  const before = given.dlopen as (...all: readonly unknown[]) => unknown;
  given.dlopen = (...all: readonly unknown[]): unknown => {
    const file = String(all[1]);
    if (!asked.includes(file)) asked.push(file);
    if (isLetIn) return before.apply(process, all as never);
    throw refusal(`native code of '${file}' was refused: nobody could hold back what it does; let it in with --native where it reaches nobody`);
  };
  // Node's own insides.
  given.binding = (name: unknown): never => {
    throw refuse(`process.binding('${String(name)}')`);
  };
}
