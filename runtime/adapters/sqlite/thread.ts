/** The thread of a run store: does the calls it is sent, in their order, and answers each. */
import { enableCompileCache, flushCompileCache } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import type { ClaimRequest } from "../../ports/run-store.ts";
import type { SqliteRunStore } from "./run-store.ts";
import type { NumberedAnswer, NumberedCall, StoreCall, ThreadSettings } from "./wire.ts";

// A thread has to ask for Node's cache of compiled code itself, before it imports anything.
enableCompileCache();
const { createSqliteRunStore } = await import("./run-store.ts");
const { packClaims, packError, packWrites, unpackFinishes, unpackRequests } = await import("./wire.ts");
// A thread that is ended writes nothing by itself.
setImmediate(flushCompileCache);

async function claim(store: SqliteRunStore, requests: readonly ClaimRequest[], leaseMs: number): Promise<unknown> {
  return packClaims(await store.claim(requests, leaseMs), requests);
}

async function perform(store: SqliteRunStore, call: StoreCall): Promise<unknown> {
  switch (call.method) {
    case "start":
      await store.start();
      return store.mark;
    case "stop":
      return store.stop();
    case "secret":
      return store.secret();
    case "ping":
      // In a thread that took a lost one's place, the file is not open yet.
      await store.start();
      return (await store.ping()) ? store.mark : undefined;
    case "noteLoss":
      return store.noteLoss();
    case "lostAgoMs":
      return store.lostAgoMs();
    case "claim":
      return claim(store, unpackRequests(call.requests), call.leaseMs);
    case "checkpoint":
      return packWrites(await store.checkpoint(call.writes));
    case "finish":
      return packWrites(await store.finish(unpackFinishes(call.writes)));
    case "clearOutbox":
      return store.clearOutbox(call.eventIds);
    case "fail":
      return packWrites(await store.fail(call.writes));
    case "revive":
      return store.revive(call.requests);
    case "close":
      return store.close(call.eventIds, call.by);
    case "extend":
      return packWrites(await store.extend(call.writes, call.leaseMs));
    case "read":
      return store.read(call.eventId);
    case "jobs":
      return store.jobs(call.ask);
    case "board":
      return store.board(call.ask);
  }
}

async function answerTo([number, consumer, call]: NumberedCall): Promise<NumberedAnswer> {
  try {
    const store = stores[consumer];
    if (store === undefined) throw new RangeError(`expected one of ${stores.length} consumers, got number ${consumer}`);
    return [number, await perform(store, call)];
  } catch (error) {
    return [number, undefined, packError(error)];
  }
}

/** The first opens the file; the others use it with it. */
function storesOf({ consumers, ...options }: ThreadSettings): readonly SqliteRunStore[] {
  const clock = { wallMs: Date.now };
  const stores: SqliteRunStore[] = [];
  for (const consumer of consumers) stores.push(createSqliteRunStore({ ...options, consumer, clock }, stores[0]));
  return stores;
}

const stores = storesOf(workerData as ThreadSettings);
parentPort?.on("message", (numbered: NumberedCall) => {
  void answerTo(numbered).then((answer) => parentPort?.postMessage(answer));
});
