// Imports plugins where nothing but this thread is lost when one ends its process, or never ends its import.
import { enableCompileCache } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import type { ProbedPlugin, ProbeNews } from "./probe.ts";

// A thread has to ask for Node's cache of compiled code itself, before it imports anything.
enableCompileCache();
const { placeOf } = await import("./code-place.ts");
const { importModule, ImportFault, placed } = await import("./import-module.ts");

function say(news: ProbeNews): void {
  parentPort?.postMessage(news);
}

let importing: ProbedPlugin | undefined;
const exit = process.exit.bind(process);
// An error that nobody catches ends the thread by way of it, too; what threw says more.
let isEnding = false;
process.on("uncaughtExceptionMonitor", () => (isEnding = true));
process.exit = (code) => {
  if (isEnding) return exit(code);
  const place = importing === undefined ? undefined : placeOf(new Error("here"), importing.folder);
  say({
    type: "failed",
    why: `it ended the process with process.exit(${code ?? ""})${importing === undefined || place === undefined ? "" : placed(place, importing.folder)}`,
  });
  return exit(code);
};

// Nobody's rejection ends the worker either: it is logged where the plugin is in use.
process.on("unhandledRejection", () => undefined);

async function importAll(plugins: readonly ProbedPlugin[]): Promise<void> {
  for (const plugin of plugins) {
    importing = plugin;
    say({ type: "begins", owner: plugin.owner });
    try {
      await importModule({ name: plugin.owner, url: plugin.url, folder: plugin.folder });
    } catch (error) {
      say({ type: "failed", why: error instanceof ImportFault ? `it threw: ${error.message}` : "it threw" });
      exit(1);
    }
  }
  say({ type: "loaded" });
}

// Before it waits: from then on nothing of its own keeps it from ending.
await Promise.allSettled((workerData as readonly string[]).map((url) => import(url) as Promise<unknown>));
parentPort?.once("message", (plugins: readonly ProbedPlugin[]) => void importAll(plugins));
