/**
 * `createWorker`: a worker inside somebody else's program. What it consists of is loaded with its start, so that a plugin that imports the
 * runtime, which every skill thread does, loads none of that.
 */
import type { Health } from "../admin/probes.ts";
import type { ConfigInput } from "../core/config.ts";
import { ConfigurationError } from "../core/errors.ts";
import { ownerAtWork } from "../skills/host/module-owner.ts";
import type { OpenWorker } from "./open-worker.ts";
import { type WorkerEvent, type WorkerEventOf, WorkerEvents } from "./worker-events.ts";

/** What a program says of a worker inside it, beside the configuration. */
export interface CreateWorkerOptions {
  /** Where relative paths of the configuration start. Default: the working folder. */
  readonly directory?: string;
  /** Gets each line of the log, JSON with its line break, in place of standard error. `logLevel` says which there are. It must not throw. */
  readonly log?: (line: string) => void;
}

/** How a worker is, for probes of the program around it. */
export interface WorkerHealth {
  /** `new` until it is started; `stopped` when everything is closed, also after a start that failed. */
  readonly phase: "new" | "starting" | "running" | "stopping" | "stopped";
  /** Not well when only a new process helps: too many of its threads do not end, or none can be started any more. */
  readonly live: Health;
  /** Not well while it takes no messages: what it waits for is said. */
  readonly ready: Health;
  /** Messages that it holds. */
  readonly inFlight: number;
}

/** Made by `createWorker`. */
export interface EmbeddedWorker {
  /**
   * Loads the plugins, checks broker, store and entities as `holdfast doctor` does, connects, and resolves once messages are received, or when it was asked to
   * stop meanwhile. Rejects with what kept it from starting, after closing the rest: `ConfigurationError` for the configuration or a plugin, `HoldfastError` with
   * the code `HOLDFAST_REFUSED` for what would lose messages, `TransportError` or `StoreUnavailableError` for what does not answer. A worker starts once;
   * calling it again joins the first call.
   */
  start(): Promise<void>;
  /**
   * Takes no more messages, lets what is held finish, and hands back what does not within `stopBudgetMs` of the configuration (20 000 ms), with its checkpoints:
   * nothing is lost. Resolves when everything is closed; rejects with what went wrong in closing. Calling it again joins the first call.
   */
  stop(): Promise<void>;
  /** How it is now; for a probe of the program's own. */
  health(): WorkerHealth;
  /**
   * Calls `listener`, at once, for each event of this type, until the function that it returns is called: any event of the catalogue
   * (PLATFORM-EVENTS.md lists those that matter outside), or `message.settled`. It must not block; what it throws is logged.
   */
  on<Type extends WorkerEvent["type"]>(type: Type, listener: (event: WorkerEventOf<Type>) => void): () => void;
  /** All metrics in the text format of Prometheus; empty before it has started. METRICS.md lists them; those of the process are the whole program's. */
  metrics(): Promise<string>;
}

/**
 * Makes a worker in this process; `start` starts it. It listens to no signal, ends no process and writes nothing to standard output; several may live
 * side by side. Its skills run in threads, so that they do not hold up the program. A plugin is listed by its folder or package, as in a
 * configuration file, or given as what `definePlugin({ module: import.meta.url, … })` made.
 *
 * Throws `ConfigurationError` when a module that a skill thread imports calls it.
 */
export function createWorker(config: ConfigInput, options: CreateWorkerOptions = {}): EmbeddedWorker {
  const owner = ownerAtWork();
  if (owner !== undefined)
    throw new ConfigurationError(
      `createWorker: expected to be called by a program, got a call while ${owner.name} is imported, which every skill thread does; make the worker in another module than the plugin's`,
    );
  return new Embedded(config, options);
}

class Embedded implements EmbeddedWorker {
  readonly #config: ConfigInput;
  readonly #options: CreateWorkerOptions;
  readonly #events = new WorkerEvents((error, type) => this.#open?.listenerFailed(error, type));
  #phase: WorkerHealth["phase"] = "new";
  #open: OpenWorker | undefined;
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(config: ConfigInput, options: CreateWorkerOptions) {
    this.#config = config;
    this.#options = options;
  }

  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  async #start(): Promise<void> {
    if (this.#stopped !== undefined) return;
    this.#phase = "starting";
    try {
      const { openWorker } = await import("./open-worker.ts");
      const { directory = process.cwd(), log } = this.#options;
      const open = await openWorker(this.#config, directory, { telemetry: this.#events, log });
      this.#open = open;
      // Somebody who may stop it over its admin server is heard as well.
      open.onStop(() => void this.stop().catch(() => undefined));
      if (this.#stopped === undefined && (await open.start())) this.#phase = "running";
    } catch (error) {
      await this.#close().catch(() => undefined);
      throw error;
    }
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#phase = "stopping";
    // What is on its way up is told at once, and comes down in order.
    const told = this.#open?.stop();
    told?.catch(() => undefined);
    await this.#started?.catch(() => undefined);
    await this.#close();
  }

  async #close(): Promise<void> {
    try {
      await this.#open?.stop();
    } finally {
      this.#phase = "stopped";
    }
  }

  health(): WorkerHealth {
    const known = this.#open?.health();
    const idle = { isWell: false, why: [idleWhy[this.#phase]] };
    return {
      phase: this.#phase,
      live: known?.live ?? { isWell: true, why: [] },
      ready: this.#phase === "running" && known !== undefined ? known.ready : idle,
      inFlight: known?.inFlight ?? 0,
    };
  }

  on<Type extends WorkerEvent["type"]>(type: Type, listener: (event: WorkerEventOf<Type>) => void): () => void {
    return this.#events.on(type, listener);
  }

  async metrics(): Promise<string> {
    return this.#open?.metrics() ?? "";
  }
}

const idleWhy: Readonly<Record<WorkerHealth["phase"], string>> = {
  new: "it was not started",
  starting: "it has not started yet",
  running: "it has not started yet",
  stopping: "it stops",
  stopped: "it has stopped",
};
