/**
 * Tries plugins out in a thread before the main thread imports them. What a module does while it is imported cannot be stopped
 * where it is done: `process.exit` ends the command without a message, and a loop without end blocks it for good. A thread can be ended.
 * Who knows beforehand that plugins will come has such a thread wait for them.
 */
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { ConfigurationError, messageOf } from "../../core/errors.ts";

export interface ProbedPlugin {
  /** Names the plugin in errors. */
  readonly owner: string;
  /** `file:` URL of its entry module. */
  readonly url: string;
  readonly folder: string;
}

/** What the thread says on its way. */
export type ProbeNews = { readonly type: "begins"; readonly owner: string } | { readonly type: "failed"; readonly why: string } | { readonly type: "loaded" };

/** How long one plugin may take to be imported. */
export const importTimeoutMs = 10_000;

/** The thread that waits. */
let waiting: Worker | undefined;

/** `modules`: what it loads ahead, as URLs. What they print is not shown, and no failure of theirs either. */
function openThread(modules: readonly string[]): Worker {
  // What plugins print is not shown here: the threads that run them print it again, as log lines.
  return new Worker(new URL(`./probe-thread${extname(import.meta.filename)}`, import.meta.url), { workerData: modules, stdout: true, stderr: true });
}

/** Has a thread wait for the next plugins that are tried out, with what they are known to import loaded. */
export function awaitPlugins(modules: readonly string[]): void {
  waiting ??= openThread(modules);
  // Nobody waits for it.
  waiting.unref();
}

/** Throws `ConfigurationError` for the first plugin that throws, ends the process or does not end while it is imported. */
export async function probePlugins(plugins: readonly ProbedPlugin[], timeoutMs: number = importTimeoutMs): Promise<void> {
  if (plugins.length === 0) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const worker = waiting ?? openThread([]);
  waiting = undefined;
  worker.ref();
  worker.stdout.resume();
  worker.stderr.resume();
  let owner = plugins[0]?.owner ?? "";
  const refuse = (why: string): void => reject(new ConfigurationError(`${owner}: expected its entry to load, ${why}`));
  const tooLate = (): void =>
    refuse(`it had not ended its import after ${timeoutMs} ms: look for a loop without end, or an await at its top level that nothing answers`);
  let timer = setTimeout(tooLate, timeoutMs);
  worker.on("message", (news: ProbeNews) => {
    if (news.type === "loaded") return resolve();
    if (news.type === "failed") return refuse(news.why);
    owner = news.owner;
    clearTimeout(timer);
    timer = setTimeout(tooLate, timeoutMs);
  });
  worker.on("error", (error: unknown) => refuse(`it threw: ${messageOf(error)}`));
  worker.on("exit", (code) => refuse(code === 0 ? "it waits at its top level for a promise that nothing settles" : `it ended its thread with code ${code}`));
  worker.postMessage(plugins);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
