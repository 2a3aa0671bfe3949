/** A run store whose round trips are measured: one measurement for a whole batch of runs. */
import type { Clock } from "../../../core/clock.ts";
import type { RunStore } from "../../../ports/run-store.ts";
import type { StoreCall, StoreTrips } from "./per-call.ts";

export function meteredStore(store: RunStore, trips: StoreTrips, clock: Pick<Clock, "monotonicMs">): RunStore {
  const measured = async <Answer>(call: StoreCall, entries: number, make: () => Promise<Answer>): Promise<Answer> => {
    const startedMs = clock.monotonicMs();
    let isGood = false;
    try {
      const answer = await make();
      isGood = true;
      return answer;
    } finally {
      trips.ended(call, isGood ? entries : 0, clock.monotonicMs() - startedMs, isGood);
    }
  };
  return {
    start: () => store.start(),
    stop: () => store.stop(),
    secret: () => store.secret(),
    ping: () => store.ping(),
    claim: (requests, leaseMs) => measured("claim", requests.length, () => store.claim(requests, leaseMs)),
    checkpoint: (writes) => measured("checkpoint", writes.length, () => store.checkpoint(writes)),
    finish: (writes) => measured("finish", writes.length, () => store.finish(writes)),
    clearOutbox: (eventIds) => measured("clear-outbox", eventIds.length, () => store.clearOutbox(eventIds)),
    fail: (writes) => measured("fail", writes.length, () => store.fail(writes)),
    revive: (requests) => measured("revive", requests.length, () => store.revive(requests)),
    close: (eventIds, by) => measured("close", eventIds.length, () => store.close(eventIds, by)),
    extend: (writes, leaseMs) => measured("extend", writes.length, () => store.extend(writes, leaseMs)),
    read: (eventId) => measured("read", 1, () => store.read(eventId)),
  };
}
