/** `holdfast dev --plugin`: plugins of one's own on a broker of this machine, with stand-ins for what they call, and begun afresh when a file is saved. */
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { asMessage, writeLogLine } from "#runtime/cli/log-line.ts";
import { takeOver } from "#runtime/cli/stop-signals.ts";
import { ConfigurationError, messageOf } from "#runtime/core/errors.ts";
import { makeFolder } from "#runtime/core/make-folder.ts";
import { startBroker } from "../broker/broker.ts";
import { configOf, type DevPlan, environmentOf, findOwnConfig, inputQueue, outputQueue, placeOf, type PluginPlace } from "./dev-config.ts";
import { WarmWorker, type WarmWorkerOptions } from "./warm-worker.ts";
import { type FileWatch, watchFiles } from "./watch-files.ts";

export interface PluginDevOptions {
  readonly plugin: readonly string[];
  readonly config?: string;
  readonly set: readonly string[];
  readonly watch?: boolean;
}

/** A save is often several writes. */
const gatherMs = 30;
/** For `holdfast send`. */
const configFile = ".holdfast/dev.config.json";

function say(text: string): void {
  const shown = `holdfast dev: ${text}`;
  writeLogLine({ level: "info", ...asMessage(shown) }, shown);
}

/** By the URL of a plugin's entry, that of its file of stubs, or nothing. */
function stubsOf(places: readonly PluginPlace[]): Readonly<Record<string, string>> {
  const stubs = places.map(({ entry, stubs: file }) => [pathToFileURL(entry).href, file === undefined ? "" : pathToFileURL(file).href]);
  return Object.fromEntries(stubs) as Record<string, string>;
}

interface ReloadingOptions extends Pick<WarmWorkerOptions, "config" | "folder" | "env"> {
  /** What the next worker is to do. Throws `ConfigurationError`. */
  readonly plan: () => { readonly plan: DevPlan; readonly stubs: Readonly<Record<string, string>> };
}

/** The worker that is at work, and the one that is to follow. */
class Reloading {
  readonly #options: ReloadingOptions;
  readonly #ending = new Set<Promise<void>>();
  #current: WarmWorker | undefined;
  #next: WarmWorker;
  #isAtIt = false;
  #isAskedAgain = false;
  #isStopped = false;

  constructor(options: ReloadingOptions) {
    this.#options = options;
    this.#next = new WarmWorker({ ...options, packages: [] });
  }

  /** Folders that the one at work reads beside its plugins. */
  get folders(): readonly string[] {
    return this.#current?.folders ?? [];
  }

  /** One that is forked once all is being stopped would be left behind. */
  #warmUp(): void {
    if (!this.#isStopped) this.#next = new WarmWorker({ ...this.#options, packages: this.#current?.imported ?? [] });
  }

  /** Rejects where the first one does not start. */
  async begin(): Promise<void> {
    const { plan, stubs } = this.#options.plan();
    say(`live page ${(await this.#next.begin(plan, stubs)) ?? "none"}`);
    this.#current = this.#next;
    this.#warmUp();
  }

  /** The code as it is now takes over; where it cannot, the code before goes on. Never rejects. */
  async again(): Promise<void> {
    if (this.#isAtIt) {
      this.#isAskedAgain = true;
      return;
    }
    this.#isAtIt = true;
    try {
      do {
        this.#isAskedAgain = false;
        await this.#reload();
      } while (this.#isAskedAgain && !this.#isStopped);
    } finally {
      this.#isAtIt = false;
    }
  }

  async #reload(): Promise<void> {
    const savedMs = performance.now();
    let planned: ReturnType<ReloadingOptions["plan"]>;
    try {
      planned = this.#options.plan();
    } catch (error) {
      // The worker that waits has not begun: it serves for the next save.
      say(`${messageOf(error, 600)}; the code before goes on, until the next save`);
      return;
    }
    if (this.#next.isOutdated) {
      this.#end(this.#next);
      this.#warmUp();
    }
    const next = this.#next;
    try {
      const page = await next.begin(planned.plan, planned.stubs);
      const before = this.#current;
      this.#current = next;
      say(`reloaded in ${Math.round(performance.now() - savedMs)} ms; live page ${page ?? "none"}`);
      if (before !== undefined) this.#end(before);
    } catch {
      await next.stop();
      if (!this.#isStopped) say("what was saved does not start, as said above; the code before goes on");
    }
    this.#warmUp();
  }

  #end(worker: WarmWorker): void {
    const ending = worker.stop().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all([this.#current?.stop(), this.#next.stop(), ...this.#ending]);
  }
}

/** Tests and examples are not what a worker runs. */
const isOfWorker = (file: string): boolean => !/(?:^|[/\\])(?:node_modules|examples|\.[^/\\]*)(?:[/\\]|$)|\.test\.[mc]?[jt]s$/.test(file);

async function watchAll(folders: readonly string[], own: string | undefined, saved: () => void): Promise<FileWatch> {
  let gathering: NodeJS.Timeout | undefined;
  const places = { folders, files: own === undefined ? [] : [resolve(own)], isWanted: isOfWorker };
  return watchFiles(places, {
    saved: () => {
      clearTimeout(gathering);
      gathering = setTimeout(saved, gatherMs);
    },
    failed: ({ message }) => say(`${message}; until then, not every save is taken`),
  });
}

function sayWhatItHas(places: readonly PluginPlace[], own: string | undefined): void {
  const from =
    own === undefined ? "no configuration beside it: settings by their defaults and by --set, no contracts" : `settings and contracts by ${relative("", own)}`;
  for (const { folder: of, stubs } of places)
    say(
      `${relative("", of) || "."}: ${stubs === undefined ? "no stubs.ts, so that calls of dependencies are refused" : `stand-ins by ${relative("", stubs)}`}; ${from}`,
    );
}

/** Throws `ConfigurationError` where the folder at hand cannot be written to. */
function makeConfigFolder(): void {
  const folder = resolve(dirname(configFile));
  try {
    makeFolder(folder);
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw new ConfigurationError(
      `expected to write ${configFile} for 'holdfast send' here, found ${messageOf(error, 200)}; begin it in a folder that you may write to, and name plugins from there`,
      { cause: error },
    );
  }
}

/** Resolves with the exit code when it is asked to stop. */
export async function runPlugins({ plugin, config, set, watch: isWatching = false }: PluginDevOptions): Promise<number> {
  const places = plugin.map(placeOf);
  const own = findOwnConfig(config, places[0]?.folder ?? "");
  makeConfigFolder();
  const stopped = Promise.withResolvers<void>();
  takeOver({ stop: () => stopped.resolve(), say });
  const folder = mkdtempSync(join(tmpdir(), "holdfast-dev-"));
  const broker = await startBroker({ entities: { queues: [inputQueue, outputQueue] } });
  const plan = (): ReturnType<ReloadingOptions["plan"]> => {
    const plugins = plugin.map(placeOf);
    return { plan: { config: configOf(broker, plugins, folder), own, plugins, set }, stubs: stubsOf(plugins) };
  };
  const reloading = new Reloading({ config: resolve(configFile), folder, env: environmentOf(process.env, places), plan });
  let watching: FileWatch | undefined;
  try {
    // Ahead of what may be missing in it.
    sayWhatItHas(places, own);
    await Promise.race([reloading.begin(), stopped.promise]);
    say(
      `send an example: holdfast send -c ${configFile} --example NAME; look at what is emitted: holdfast broker inspect ${outputQueue} --connection-string '${broker.connectionString}'`,
    );
    if (isWatching) {
      watching = await watchAll([...places.map((place) => place.folder), ...reloading.folders], own, () => void reloading.again());
      say("watching");
    }
    await stopped.promise;
    return exitCodes.good;
  } finally {
    await watching?.close();
    await reloading.stop();
    await broker.stop();
    rmSync(configFile, { force: true });
    rmSync(folder, { recursive: true, force: true });
  }
}
