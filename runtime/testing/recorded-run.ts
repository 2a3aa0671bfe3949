/** A run as its record and its message hold it, put into the store of a case that goes through it again. */
import { createPayloadHash, isKnownPayload } from "../core/payload-hash.ts";
import type { Delivery, OutgoingMessage } from "../core/delivery.ts";
import { type RouteResult, readRoute } from "../core/read-route.ts";
import type { StepRecord } from "../core/run.ts";
import type { RunStore } from "../ports/run-store.ts";
import { ModelDelivery } from "./world/model-broker.ts";
import type { Stored } from "./world/model-queue.ts";
import { type Surroundings, usualSurroundings } from "./world/surroundings.ts";

/** What a case goes through again. */
export interface RecordedRun {
  readonly message: OutgoingMessage;
  readonly steps: readonly StepRecord[];
  /** Executions that had failed before the one that is gone through. */
  readonly failuresBefore: number;
  /** With these its keys are those of the run on record. Undefined: there is no record. */
  readonly identity?: { readonly consumer: string; readonly restarts: number; readonly epoch: number } | undefined;
  /** As in its record; undefined where there is none. */
  readonly payloadHash?: string | undefined;
  readonly pipelineHash?: string | undefined;
}

const leaseMs = 1_000;

/** Claims that `restore` makes. */
function claimsOf({ steps, failuresBefore }: RecordedRun): number {
  return steps.length === 0 && failuresBefore === 0 ? 0 : failuresBefore + 1;
}

/** The store as the worker of the recorded run saw it: its next claim has the epoch of then, and has started over as often. */
export function asOnRecord(store: RunStore, run: RecordedRun): RunStore {
  if (run.identity === undefined) return store;
  const { restarts, epoch } = run.identity;
  const ahead = epoch - (claimsOf(run) + 1);
  const own = <Write extends { readonly epoch: number }>(writes: readonly Write[]): Write[] =>
    writes.map((write) => ({ ...write, epoch: write.epoch - ahead }));
  return {
    start: () => store.start(),
    stop: () => store.stop(),
    secret: () => store.secret(),
    ping: () => store.ping(),
    claim: async (requests, leaseForMs) =>
      (await store.claim(requests, leaseForMs)).map((answer) => (answer.kind === "acquired" ? { ...answer, restarts, epoch: answer.epoch + ahead } : answer)),
    checkpoint: (writes) => store.checkpoint(own(writes)),
    finish: (writes) => store.finish(own(writes)),
    clearOutbox: (eventIds) => store.clearOutbox(eventIds),
    fail: (writes) => store.fail(own(writes)),
    extend: (writes, leaseForMs) => store.extend(own(writes), leaseForMs),
    revive: (requests) => store.revive(own(requests)),
    close: (eventIds, by) => store.close(eventIds, by),
    read: (eventId) => store.read(eventId),
  };
}

/** A message as a delivery that nobody has locked. */
function messageOnly(message: OutgoingMessage): Delivery {
  const stored: Stored = {
    sequenceNumber: 1n,
    message,
    enqueuedAtMs: 0,
    state: "active",
    failedDeliveries: 0,
    lock: undefined,
    reason: undefined,
    properties: {},
  };
  return new ModelDelivery(stored, undefined);
}

export function routeOfMessage(message: OutgoingMessage, { limits, envelopes }: Pick<Surroundings, "limits" | "envelopes"> = usualSurroundings): RouteResult {
  return readRoute(messageOnly(message), limits, envelopes);
}

/** Leaves the store as the executions before left it. */
export async function restore(store: RunStore, run: RecordedRun, surroundings: Surroundings): Promise<void> {
  const { message, steps, failuresBefore, pipelineHash = "" } = run;
  const answer = routeOfMessage(message, surroundings);
  const claims = claimsOf(run);
  if (!answer.ok || claims === 0) return;
  const { eventId } = answer.route;
  const own = await createPayloadHash(surroundings.limits)(message.body, answer);
  // The record of a run that is done may know the beginning of its hash alone.
  const payloadHash = run.payloadHash === undefined || isKnownPayload(own, run.payloadHash) ? own : run.payloadHash;
  for (let failed = 0; failed < claims; failed += 1) {
    const [claim] = await store.claim([{ eventId, token: `recorded-${failed}`, payloadHash, pipelineHash }], leaseMs);
    if (claim?.kind !== "acquired") throw new Error(`expected the recorded run to be restored, found it ${claim?.kind ?? "unanswered"}`);
    const { epoch } = claim;
    if (failed === 0) await store.checkpoint(steps.map((step) => ({ eventId, epoch, step })));
    await store.fail([{ eventId, epoch, state: "waiting", reason: "recorded", failures: failed === failuresBefore ? 0 : 1, losses: 0 }]);
  }
}
