/**
 * A worker with what keeps it company wherever it lives: the checks before it begins and from time to time, the admin server, a summary a
 * minute. `holdfast start` runs one in a process of its own, `createWorker` in anybody's; so nothing here touches the process.
 */
import { type AdminParts, openAdmin } from "../cli/admin.ts";
import { checkSurroundings } from "../cli/checks.ts";
import { type Finding, RefusedError } from "../cli/finding.ts";
import { keepChecking } from "../cli/keep-checking.ts";
import { weighed } from "../cli/weighed.ts";
import type { Life } from "../admin/probes.ts";
import { describeMemory } from "../compose/memory.ts";
import { nameKinds } from "../compose/store.ts";
import { type ComposedWorker, type Hosting, composeWorker } from "../compose/worker.ts";
import type { Config } from "../core/config.ts";

/** How often the log sums up what happened. */
const summaryEveryMs = 60_000;

/** Composed and looked at, and not started; see `HostedWorker`. Throws `ConfigurationError`. */
export async function hostWorker(config: Config, directory: string, hosting: Hosting = {}): Promise<HostedWorker> {
  const [composed, findings] = await Promise.all([composeWorker(config, directory, hosting), checkSurroundings(config, directory)]);
  return new HostedWorker(config, directory, composed, findings);
}

export class HostedWorker {
  readonly composed: ComposedWorker;
  readonly #config: Config;
  readonly #directory: string;
  readonly #findings: readonly Finding[];
  readonly #stopListeners = new Set<() => void>();
  #phase: Life["phase"] = "starting";
  #wornOut: string | undefined;
  #summing: NodeJS.Timeout | undefined;
  #admin: Awaited<ReturnType<typeof openAdmin>>;
  #endChecking: (() => void) | undefined;
  #starting: Promise<boolean> | undefined;
  /** Of the worker itself, once it was asked to stop. */
  readonly #asked = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<void>();

  constructor(config: Config, directory: string, composed: ComposedWorker, findings: readonly Finding[]) {
    this.#config = config;
    this.#directory = directory;
    this.composed = composed;
    this.#findings = findings;
    // Whoever waits for it hears of it by `stopped`; nobody has to.
    for (const { promise } of [this.#asked, this.#stopped]) promise.catch(() => undefined);
    void composed.worker.wornOut.then((reason) => (this.#wornOut = reason));
  }

  get isStopping(): boolean {
    return this.#phase === "stopping";
  }

  get life(): Life {
    return { phase: this.#phase, wornOut: this.#wornOut };
  }

  /** Where its admin server listens; undefined where it has none. */
  get adminUrl(): string | undefined {
    return this.#admin?.url;
  }

  /** The curves of its page begin now. */
  beginHistory(): void {
    this.#admin?.beginHistory();
  }

  /** Resolves when everything is closed; rejects with what went wrong in closing it. */
  get stopped(): Promise<void> {
    return this.#stopped.promise;
  }

  /** `listener` is called once it is asked to stop, by whomever. */
  onStop(listener: () => void): void {
    this.#stopListeners.add(listener);
  }

  /** Refuses to begin with what would lose messages, and says in the store which steps its skills have. Throws `HoldfastError`. */
  async prepare(): Promise<void> {
    const { memory, kinds, logger } = this.composed;
    refuseWhenFailed(this.#findings, this.#config);
    logger.info({ type: "memory", ...memory }, describeMemory(memory));
    await nameKinds(this.#config, this.#directory, kinds);
  }

  /** True once it receives; false when it was asked to stop meanwhile. Rejects with what could not be started. */
  start(): Promise<boolean> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async #start(): Promise<boolean> {
    if (this.isStopping) return false;
    this.#summing = setInterval(() => this.#sumUp(), summaryEveryMs);
    this.#admin = await openAdmin(this.#config, this.#directory, this.#adminParts());
    // What does not get started, because something outside does not answer, does not keep it from stopping.
    await Promise.race([this.composed.worker.start(), this.#asked.promise]);
    if (this.isStopping) return false;
    this.#phase = "running";
    this.#endChecking = keepChecking(this.#config, this.#directory, this.composed.logger, this.#findings);
    return true;
  }

  /** Stops within the configured budget; asking again joins the first call. */
  stop(reason: string): Promise<void> {
    if (!this.isStopping) {
      this.#phase = "stopping";
      const { stopBudgetMs: budgetMs } = this.#config;
      this.composed.logger.info({ reason, budgetMs }, "stopping");
      this.composed.fleet.drains();
      for (const listener of this.#stopListeners) listener();
      this.composed.worker.stop(budgetMs).then(this.#asked.resolve, this.#asked.reject);
      this.#close().then(this.#stopped.resolve, this.#stopped.reject);
    }
    return this.stopped;
  }

  async #close(): Promise<void> {
    const [stopped] = await Promise.allSettled([this.#asked.promise, this.#starting]);
    this.#endChecking?.();
    clearInterval(this.#summing);
    try {
      await this.#admin?.stop();
    } finally {
      this.#sumUp();
      await this.composed.exported?.stop();
    }
    if (stopped.status === "rejected") throw stopped.reason;
  }

  #adminParts(): AdminParts {
    const drain = (reason: string): void => void this.stop(`drained over the admin API: ${reason}`).catch(() => undefined);
    return { ...this.composed, life: () => this.life, drain };
  }

  #sumUp(): void {
    const { summaries, logger, worker } = this.composed;
    const summary = summaries.take();
    if (summary !== undefined) logger.info({ type: "summary", ...summary, inFlight: worker.view().inFlight }, "summary");
  }
}

/** What `doctor` fails, no worker starts with. */
function refuseWhenFailed(findings: readonly Finding[], config: Config): void {
  const failed = weighed(findings, config).filter(({ verdict }) => verdict === "failed");
  if (failed.length > 0) throw new RefusedError(failed);
}
