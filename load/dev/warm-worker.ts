/** A worker process that waits, loaded, until it is to begin. */
import { type ChildProcess, fork } from "node:child_process";
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { HoldfastError } from "#runtime/core/errors.ts";

const extension = extname(import.meta.filename);

interface News {
  readonly type?: "warm" | "ready" | "report";
  readonly admin?: string;
}

export class WarmWorker {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #warm: Promise<void>;
  readonly #ready = Promise.withResolvers<string | undefined>();

  constructor(config: string) {
    const preload = pathToFileURL(join(import.meta.dirname, `stubs-preload${extension}`)).href;
    const options = `${process.env["NODE_OPTIONS"] ?? ""} --import=${preload}`.trim();
    // A group of its own: a terminal's Ctrl-C is for the parent alone.
    this.#child = fork(join(import.meta.dirname, `plugin-worker${extension}`), [config], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      detached: true,
      env: { ...process.env, NODE_OPTIONS: options },
    });
    const warm = Promise.withResolvers<void>();
    this.#warm = warm.promise;
    this.#child.on("message", ({ type, admin }: News) => {
      if (type === "warm") warm.resolve();
      if (type === "ready") this.#ready.resolve(admin);
    });
    this.#exited = new Promise((resolve) => this.#child.once("exit", () => resolve()));
    this.#child.once("exit", (code, signal) => {
      const error = new HoldfastError("HOLDFAST_CHILD_ENDED", `expected the worker to start, it ended with ${code ?? signal}`);
      warm.reject(error);
      this.#ready.reject(error);
    });
    // Whoever waits for them hears of it.
    for (const promise of [this.#warm, this.#ready.promise]) promise.catch(() => undefined);
  }

  /**
   * Begins with the code as it is now; resolves with the address of its page once it receives.
   *
   * @param stubs by the URL of a plugin's entry, that of its file of stubs, or nothing
   */
  async begin(stubs: Readonly<Record<string, string>>): Promise<string | undefined> {
    await this.#warm;
    // One that is ending has no channel; its end is what is heard then.
    this.#child.send({ type: "begin", stubs }, () => undefined);
    return this.#ready.promise;
  }

  /** What it has under way it ends; resolves when it is gone. Idempotent. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGTERM");
    await this.#exited;
  }
}
