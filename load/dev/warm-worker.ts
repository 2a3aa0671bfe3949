/** A worker process that waits, loaded, until it is to begin. */
import { type ChildProcess, fork } from "node:child_process";
import { renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { HoldfastError } from "#runtime/core/errors.ts";
import type { DevPlan } from "./dev-config.ts";
import { stubsVariable } from "./stubs-variable.ts";

const extension = extname(import.meta.filename);

interface News {
  readonly type?: "warm" | "ready" | "report" | "imports" | "reads";
  readonly admin?: string;
  readonly url?: string;
  readonly folders?: readonly string[];
}

/** What a worker that waits knows beforehand. */
export interface WarmWorkerOptions {
  /** The file that its configuration is written to. */
  readonly config: string;
  /** For what it is told when it begins. */
  readonly folder: string;
  /** What plugins are known to import, as URLs: it has them loaded. */
  readonly packages: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

const installed = "/node_modules/";
let made = 0;

/** Of the folder that a package is installed in, which changes with every install. */
function installedAtMs(url: string): number {
  return statSync(fileURLToPath(url.slice(0, url.indexOf(installed) + installed.length)), { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
}

export class WarmWorker {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #warm: Promise<void>;
  readonly #ready = Promise.withResolvers<string | undefined>();
  readonly #stubsFile: string;
  readonly #packages: readonly string[];
  readonly #madeAtMs = Date.now();
  readonly #imported = new Set<string>();
  #folders: readonly string[] = [];
  #hasBegun = false;

  constructor({ config, folder, packages, env }: WarmWorkerOptions) {
    made += 1;
    this.#stubsFile = join(folder, `stubs-${made}.json`);
    this.#packages = packages;
    const preload = pathToFileURL(join(import.meta.dirname, `stubs-preload${extension}`)).href;
    const options = `${env["NODE_OPTIONS"] ?? ""} --import=${preload}`.trim();
    // A group of its own: a terminal's Ctrl-C is for the parent alone.
    this.#child = fork(join(import.meta.dirname, `plugin-worker${extension}`), [config, JSON.stringify(packages)], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      detached: true,
      env: { ...env, NODE_OPTIONS: options, [stubsVariable]: this.#stubsFile },
    });
    const warm = Promise.withResolvers<void>();
    this.#warm = warm.promise;
    this.#child.on("message", ({ type, admin, url, folders = [] }: News) => {
      if (type === "imports" && url !== undefined) this.#imported.add(url);
      if (type === "reads") this.#folders = folders;
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

  /** What its plugins have imported of packages. */
  get imported(): readonly string[] {
    return [...this.#imported];
  }

  /** Folders that it reads beside its plugins. */
  get folders(): readonly string[] {
    return this.#folders;
  }

  /** Packages that it has loaded may have been installed again since. */
  get isOutdated(): boolean {
    return this.#packages.some((url) => installedAtMs(url) > this.#madeAtMs);
  }

  /**
   * Begins with the code as it is now; resolves with the address of its page once it receives.
   *
   * @param stubs by the URL of a plugin's entry, that of its file of stubs, or nothing
   */
  async begin(plan: DevPlan, stubs: Readonly<Record<string, string>>): Promise<string | undefined> {
    await this.#warm;
    // Its threads look for the file while they load other things: it is there as a whole, or not.
    writeFileSync(`${this.#stubsFile}.new`, JSON.stringify(stubs));
    renameSync(`${this.#stubsFile}.new`, this.#stubsFile);
    this.#hasBegun = true;
    // One that is ending has no channel; its end is what is heard then.
    this.#child.send(plan, () => undefined);
    return this.#ready.promise;
  }

  /** What it has under way it ends; one that only waits has nothing. Resolves when it is gone. Idempotent. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(this.#hasBegun ? "SIGTERM" : "SIGKILL");
    await this.#exited;
    rmSync(this.#stubsFile, { force: true });
  }
}
