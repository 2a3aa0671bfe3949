/**
 * What a run store and its thread say to each other: numbered calls, and an answer to each in their order. Messages are
 * cloned, which costs about as much for each value as for a whole short text. So claims and done marks, which every
 * message pays for, go without what is nearly always the same.
 */
import type { ByHand } from "../../core/history.ts";
import { ConfigurationError, messageOf, StoreUnavailableError } from "../../core/errors.ts";
import type { StepRecord } from "../../core/run.ts";
import type {
  CheckpointWrite,
  ClaimRequest,
  ClaimResult,
  EpochWrite,
  FailWrite,
  FinishWrite,
  ReviveRequest,
  RunStoreOptions,
  WriteResult,
} from "../../ports/run-store.ts";
import type { BoardAsk } from "./board.ts";
import type { JobsAsk } from "./jobs-wire.ts";

/** What the thread is started with. */
export interface ThreadSettings extends Pick<RunStoreOptions, "retentionMs"> {
  /** Whose runs it keeps. */
  readonly consumers: readonly string[];
  readonly path: string;
  /** How long steps of a run that is done stay readable; default a day, at most the retention. */
  readonly detailsMs?: number | undefined;
}

/** A run without an outbox and steps goes as its epoch alone. */
type PackedFinish = readonly [eventId: string, epoch: number] | readonly [eventId: string, epoch: number, outbox: Uint8Array, steps: readonly StepRecord[]];

/** The texts of all requests as one, and of each request how long its event id, token and payload hash are, and which of the pipelines it has. */
export type PackedRequests = readonly [texts: string, numbers: Uint32Array, pipelines: readonly string[]];
const numbersPerRequest = 4;

/** A call, with what `RunStore` has under its name. */
export type StoreCall =
  | { readonly method: "start" }
  | { readonly method: "stop" }
  | { readonly method: "secret" }
  | { readonly method: "ping" }
  | { readonly method: "noteLoss" }
  | { readonly method: "lostAgoMs" }
  | { readonly method: "claim"; readonly requests: PackedRequests; readonly leaseMs: number }
  | { readonly method: "checkpoint"; readonly writes: readonly CheckpointWrite[] }
  | { readonly method: "finish"; readonly writes: readonly PackedFinish[] }
  | { readonly method: "clearOutbox"; readonly eventIds: readonly string[] }
  | { readonly method: "fail"; readonly writes: readonly FailWrite[] }
  | { readonly method: "revive"; readonly requests: readonly ReviveRequest[] }
  | { readonly method: "close"; readonly eventIds: readonly string[]; readonly by: ByHand }
  | { readonly method: "extend"; readonly writes: readonly EpochWrite[]; readonly leaseMs: number }
  | { readonly method: "read"; readonly eventId: string }
  | { readonly method: "jobs"; readonly ask: JobsAsk }
  | { readonly method: "board"; readonly ask: BoardAsk };

/** `consumer`: its place among those of the settings. */
export type NumberedCall = readonly [number: number, consumer: number, call: StoreCall];

/** An error keeps neither class nor code on its way; a record says which it was. */
interface ErrorRecord {
  readonly isConfiguration: boolean;
  readonly message: string;
}

export type NumberedAnswer = readonly [number: number, value: unknown] | readonly [number: number, value: undefined, error: ErrorRecord];

export function packError(error: unknown): ErrorRecord {
  return { isConfiguration: error instanceof ConfigurationError, message: messageOf(error) };
}

export function unpackError({ isConfiguration, message }: ErrorRecord): Error {
  return isConfiguration ? new ConfigurationError(message) : new StoreUnavailableError(message);
}

/** Cloning a view clones all the memory that it is a part of. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

export function packRequests(requests: readonly ClaimRequest[]): PackedRequests {
  let texts = "";
  const numbers = new Uint32Array(requests.length * numbersPerRequest);
  const pipelines: string[] = [];
  let at = 0;
  for (const { eventId, token, payloadHash, pipelineHash } of requests) {
    texts += eventId + token + payloadHash;
    numbers[at++] = eventId.length;
    numbers[at++] = token.length;
    numbers[at++] = payloadHash.length;
    const known = pipelines.lastIndexOf(pipelineHash);
    numbers[at++] = known === -1 ? pipelines.push(pipelineHash) - 1 : known;
  }
  return [texts, numbers, pipelines];
}

export function unpackRequests([texts, numbers, pipelines]: PackedRequests): ClaimRequest[] {
  const requests: ClaimRequest[] = [];
  let from = 0;
  const next = (length: number | undefined): string => texts.slice(from, (from += length ?? 0));
  for (let at = 0; at < numbers.length; at += numbersPerRequest) {
    const eventId = next(numbers[at]);
    const token = next(numbers[at + 1]);
    const payloadHash = next(numbers[at + 2]);
    requests.push({ eventId, token, payloadHash, pipelineHash: pipelines[numbers[at + 3] ?? 0] ?? "" });
  }
  return requests;
}

const nothing = new Uint8Array(0);
const noSteps: readonly StepRecord[] = [];

export function packFinishes(writes: readonly FinishWrite[]): PackedFinish[] {
  return writes.map(({ eventId, epoch, outbox, steps = noSteps }) =>
    outbox.length === 0 && steps.length === 0 ? [eventId, epoch] : [eventId, epoch, ownBytes(outbox), steps.map(ownStep)],
  );
}

export function unpackFinishes(writes: readonly PackedFinish[]): FinishWrite[] {
  return writes.map(([eventId, epoch, outbox = nothing, steps]) => ({ eventId, epoch, outbox, steps }));
}

export function packCheckpoints(writes: readonly CheckpointWrite[]): CheckpointWrite[] {
  return writes.map(({ eventId, epoch, step }) => ({ eventId, epoch, step: ownStep(step) }));
}

function ownStep(step: StepRecord): StepRecord {
  return { ...step, result: ownBytes(step.result) };
}

/** Null stands for the first claim of a run: it is owned as it was asked for. */
type PackedClaim = ClaimResult | null;

function isFirst(result: ClaimResult, request: ClaimRequest | undefined): boolean {
  if (result.kind !== "acquired" || result.epoch !== 1) return false;
  return (
    result.failures === 0 &&
    result.losses === 0 &&
    result.generation === 0 &&
    result.restarts === 0 &&
    result.steps.length === 0 &&
    result.pipelineHash === request?.pipelineHash
  );
}

export function packClaims(results: readonly ClaimResult[], requests: readonly ClaimRequest[]): PackedClaim[] {
  return results.map((result, index) => (isFirst(result, requests[index]) ? null : result));
}

export function unpackClaims(packed: readonly PackedClaim[], requests: readonly ClaimRequest[]): ClaimResult[] {
  return packed.map(
    (result, index) =>
      result ?? {
        kind: "acquired",
        epoch: 1,
        failures: 0,
        losses: 0,
        generation: 0,
        restarts: 0,
        pipelineHash: requests[index]?.pipelineHash ?? "",
        steps: noSteps,
      },
  );
}

/** The places of those that are stale, and, inverted, of those that are called off. */
export function packWrites(results: readonly WriteResult[]): number[] {
  const odd: number[] = [];
  results.forEach((result, index) => {
    if (result === "stale") odd.push(index);
    else if (result === "cancelling") odd.push(~index);
  });
  return odd;
}

export function unpackWrites(odd: readonly number[], count: number): WriteResult[] {
  const results = Array.from<WriteResult>({ length: count }).fill("written");
  for (const place of odd) {
    if (place < 0) results[~place] = "cancelling";
    else results[place] = "stale";
  }
  return results;
}
