/** `holdfast dev --plugin`: plugins of one's own on a broker of this machine, with stand-ins for what they call, and begun afresh when a file is saved. */
import { type FSWatcher, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, extname, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { takeOver } from "#runtime/cli/stop-signals.ts";
import type { ConfigInput } from "#runtime/core/config.ts";
import { ConfigurationError, messageOf } from "#runtime/core/errors.ts";
import { type Broker, startBroker } from "../broker/broker.ts";
import { WarmWorker } from "./warm-worker.ts";

export interface PluginDevOptions {
  readonly plugin: readonly string[];
  readonly watch?: boolean;
}

const inputQueue = "events";
const outputQueue = "emitted";
/** A save is often several writes. */
const gatherMs = 30;
/** In which the worker before it ends what it has under way; what is not ended by then goes on from its checkpoint. */
const stopBudgetMs = 30_000;
/** For `holdfast send`. */
const configFile = ".holdfast/dev.config.json";

interface PluginPlace {
  readonly folder: string;
  readonly entry: string;
  readonly stubs: string | undefined;
  readonly dependencies: readonly string[];
}

const say = (text: string): void => void process.stderr.write(`holdfast dev: ${text}\n`);

function placeOf(listed: string): PluginPlace {
  const manifest = resolve(listed, "holdfast.plugin.json");
  let said: { readonly entry?: unknown; readonly dependencies?: unknown };
  try {
    said = JSON.parse(readFileSync(manifest, "utf8")) as typeof said;
  } catch (error) {
    throw new ConfigurationError(`--plugin: expected the folder of a plugin, with its manifest, found: ${messageOf(error, 300)}`);
  }
  const folder = realpathSync(resolve(listed));
  const entry = resolve(folder, typeof said.entry === "string" ? said.entry : "index.ts");
  const stubs = join(folder, `stubs${extname(entry)}`);
  const dependencies = Array.isArray(said.dependencies) ? said.dependencies.filter((name) => typeof name === "string") : [];
  return { folder, entry, stubs: existsSync(stubs) ? stubs : undefined, dependencies };
}

function configOf(broker: Broker, places: readonly PluginPlace[], folder: string): ConfigInput {
  // Stand-ins take their place; an HTTP dependency has to be somewhere all the same.
  const nowhere = (name: string): [string, { baseUrl: string }] => [name, { baseUrl: "http://stand-in.invalid" }];
  return {
    sources: [{ queue: inputQueue }],
    serviceBus: { connectionString: broker.connectionString },
    store: { kind: "sqlite", path: join(folder, "runs.sqlite") },
    plugins: places.map((place) => place.folder),
    pluginRoots: places.map((place) => dirname(place.folder)),
    publish: { entity: outputQueue },
    dependencies: Object.fromEntries(places.flatMap(({ dependencies }) => dependencies.map(nowhere))),
    threads: 1,
    admin: { port: 0 },
    stopBudgetMs,
  };
}

/** By the URL of a plugin's entry, that of its file of stubs, or nothing. */
function stubsOf(plugins: readonly string[]): Readonly<Record<string, string>> {
  const stubs = plugins.map(placeOf).map(({ entry, stubs: file }) => [pathToFileURL(entry).href, file === undefined ? "" : pathToFileURL(file).href]);
  return Object.fromEntries(stubs) as Record<string, string>;
}

/** The worker that is at work, and the one that is to follow. */
class Reloading {
  readonly #config: string;
  readonly #folder: string;
  readonly #plugins: readonly string[];
  readonly #ending = new Set<Promise<void>>();
  #current: WarmWorker | undefined;
  #next: WarmWorker;
  #isAtIt = false;
  #isAskedAgain = false;
  #isStopped = false;

  constructor(config: string, folder: string, plugins: readonly string[]) {
    this.#config = config;
    this.#folder = folder;
    this.#plugins = plugins;
    this.#next = new WarmWorker(config, folder, []);
  }

  /** One that is forked once all is being stopped would be left behind. */
  #warmUp(): void {
    if (!this.#isStopped) this.#next = new WarmWorker(this.#config, this.#folder, this.#current?.imported ?? []);
  }

  /** Rejects where the first one does not start. */
  async begin(): Promise<void> {
    say(`live page ${(await this.#next.begin(stubsOf(this.#plugins))) ?? "none"}`);
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
    let stubs: Readonly<Record<string, string>>;
    try {
      stubs = stubsOf(this.#plugins);
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
      const page = await next.begin(stubs);
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

function watchAll(folders: readonly string[], saved: () => void): readonly FSWatcher[] {
  let gathering: NodeJS.Timeout | undefined;
  return folders.map((folder) =>
    watch(folder, { recursive: true }, (_event, file) => {
      if (file === null || !isOfWorker(file)) return;
      clearTimeout(gathering);
      gathering = setTimeout(saved, gatherMs);
    }),
  );
}

/** Resolves with the exit code when it is asked to stop. */
export async function runPlugins(options: PluginDevOptions): Promise<number> {
  const places = options.plugin.map(placeOf);
  const stopped = Promise.withResolvers<void>();
  takeOver({ stop: () => stopped.resolve(), say });
  const folder = mkdtempSync(join(tmpdir(), "holdfast-dev-"));
  const broker = await startBroker({ entities: { queues: [inputQueue, outputQueue] } });
  mkdirSync(dirname(configFile), { recursive: true });
  writeFileSync(configFile, `${JSON.stringify(configOf(broker, places, folder), undefined, 2)}\n`, { mode: 0o600 });
  const reloading = new Reloading(resolve(configFile), folder, options.plugin);
  let watchers: readonly FSWatcher[] = [];
  try {
    await Promise.race([reloading.begin(), stopped.promise]);
    for (const { folder: of, stubs } of places)
      say(
        `${relative("", of) || "."}: ${stubs === undefined ? "no stubs.ts, so that calls of dependencies are refused" : `stand-ins by ${relative("", stubs)}`}`,
      );
    say(
      `send an example: holdfast send -c ${configFile} --example NAME; look at what is emitted: holdfast broker inspect ${outputQueue} --connection-string '${broker.connectionString}'`,
    );
    if (options.watch === true) {
      watchers = watchAll(
        places.map((place) => place.folder),
        () => void reloading.again(),
      );
      say("watching");
    }
    await stopped.promise;
    return exitCodes.good;
  } finally {
    for (const watcher of watchers) watcher.close();
    await reloading.stop();
    await broker.stop();
    rmSync(configFile, { force: true });
    rmSync(folder, { recursive: true, force: true });
  }
}
