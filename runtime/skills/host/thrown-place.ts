/**
 * Where a module throws something that has no stack, `throw { code: 42 }`: it is imported once more, in a thread of its own that looks
 * on with the engine's debugger. Only for a module that has just failed.
 */
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { CodePlace } from "./code-place.ts";

/** What the thread is given. */
export interface ThrownPlaceQuestion {
  /** `file:` URL of the module. */
  readonly url: string;
  readonly folder: string;
}

const answerTimeoutMs = 5_000;

/** The last place in `folder` at which the import threw; undefined when it does not throw this time, or does not end. */
export async function findThrownPlace(question: ThrownPlaceQuestion): Promise<CodePlace | undefined> {
  const { promise, resolve } = Promise.withResolvers<CodePlace | undefined>();
  const thread = new Worker(new URL(`./thrown-place-thread${extname(import.meta.filename)}`, import.meta.url), {
    workerData: question,
    stdout: true,
    stderr: true,
  });
  thread.stdout.resume();
  thread.stderr.resume();
  const late = setTimeout(() => resolve(undefined), answerTimeoutMs);
  thread.once("message", (place: CodePlace | undefined) => resolve(place));
  thread.once("error", () => resolve(undefined));
  thread.once("exit", () => resolve(undefined));
  try {
    return await promise;
  } finally {
    clearTimeout(late);
    await thread.terminate();
  }
}
