/** A child process that says over IPC when it is ready, and dies with its parent. */
import { type ChildProcess, fork } from "node:child_process";
import { extname, join, resolve } from "node:path";
import { HoldfastError } from "#runtime/core/errors.ts";

const root = resolve(import.meta.dirname, "../..");
const extension = extname(import.meta.filename);

export interface Child<Ready> {
  readonly process: ChildProcess;
  readonly ready: Ready;
  /** Resolves when the process is gone. */
  readonly exited: Promise<void>;
  /** Sends SIGTERM and waits. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts `script` (a path below the project, without extension), with `env` beside this process's own environment, and waits for its message
 * of type `ready`. `execPath`: what to start in place of Node, with Node's arguments. `stderr`: a file of its own
 * for what it says there.
 */
export async function startChild<Ready>(
  script: string,
  args: readonly string[],
  onMessage: (message: unknown) => void = () => undefined,
  env?: Readonly<Record<string, string>>,
  execPath: string = process.execPath,
  stderr: "inherit" | number = "inherit",
): Promise<Child<Ready>> {
  // A group of its own: a terminal's Ctrl-C is for the parent alone, which stops its children in order.
  const child = fork(join(root, `${script}${extension}`), args, {
    stdio: ["ignore", "inherit", stderr, "ipc"],
    detached: true,
    execPath,
    env: { ...process.env, ...env },
  });
  const exited = new Promise<void>((done) => {
    child.once("exit", () => done());
  });
  const ready = await new Promise<Ready>((done, fail) => {
    child.on("message", (message: { readonly type?: unknown }) => {
      if (message.type === "ready") done(message as Ready);
      else onMessage(message);
    });
    child.once("error", fail);
    child.once("exit", (code, signal) =>
      fail(new HoldfastError("HOLDFAST_CHILD_ENDED", `expected ${script} to start, it ended with ${code ?? signal}; see its output above`)),
    );
  });
  return {
    process: child,
    ready,
    exited,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      await exited;
    },
  };
}
