/** What piscina loads in a skill thread. A thread has to ask for Node's cache of compiled code itself, before it imports anything. */
import { enableCompileCache, flushCompileCache } from "node:module";
import type { AcceptTask } from "./thread.ts";

enableCompileCache();

/** It waits for the promise before it says that the thread is ready. */
export const accept: Promise<AcceptTask> = import("./thread.ts").then(async ({ open }) => {
  const task = await open();
  // A thread that is ended writes nothing by itself.
  setImmediate(flushCompileCache);
  return task;
});
