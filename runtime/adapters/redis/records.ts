// What travels between the client and the scripts, packed and unpacked.
import { StoreRefusedError, StoreUnavailableError } from "../../core/errors.ts";
import { decodeHistory, encodeEntry, type HistoryEntry } from "../../core/history.ts";
import { decodeSetbacks, type Setback } from "../../core/setback.ts";
import { wellFormedJson } from "../../core/well-formed-json.ts";
import type { RunKind, RunStanding, RunState, RunSummary, RunView, StepKind, StepRecord } from "../../core/run.ts";
import { entryOf } from "../support/revival.ts";
import type { ClaimRequest, ClaimResult, FailWrite, FinishWrite, ReviveRequest, ReviveResult, WriteResult } from "../../ports/run-store.ts";

type Acquired = ClaimResult & { readonly kind: "acquired" };

const stepKinds: readonly StepKind[] = ["keyed", "queryable", "idempotent", "atMostOnce"];
const stepStates: readonly StepRecord["state"][] = ["intent", "completed"];
const runStates: ReadonlyMap<string, RunState> = new Map([
  ["r", "running"],
  ["c", "running"],
  ["w", "waiting"],
  ["d", "done"],
  ["x", "dead"],
  ["p", "parked"],
]);
export const stateLetters: Readonly<Record<FailWrite["state"], string>> = { waiting: "w", dead: "x", parked: "p" };

/** Kind (1), state (1), codec (4), checksum (4), then the result. */
const stepHeaderBytes = 10;
/** Before a name and a step in a finish. */
const lengthBytes = 4;
/** Of one UTF-16 code unit. */
const utf8BytesMax = 3;
/** Number of the checkpoint (4) and time of writing (8), put before it by the script. */
const stampBytes = 12;
const nothing = Buffer.alloc(0);

function unexpected(what: string, found: unknown): StoreUnavailableError {
  return new StoreUnavailableError(
    `expected ${what} from Redis, found ${JSON.stringify(found)?.slice(0, 200)}; check what else writes under the store's prefix`,
  );
}

function assertArray(value: unknown, what: string): asserts value is readonly unknown[] {
  if (!Array.isArray(value)) throw unexpected(what, value);
}

function bytesOf(value: unknown, what: string): Buffer {
  if (!Buffer.isBuffer(value)) throw unexpected(what, value);
  return value;
}

function textOf(value: unknown, what: string): string {
  return bytesOf(value, what).toString();
}

function numberOf(value: unknown, what: string): number {
  if (typeof value !== "number") throw unexpected(what, value);
  return value;
}

/** The part of a new record that the client knows. The fields end at NUL, so they must not hold one. */
export function packClaim({ eventId, token, payloadHash, pipelineHash }: ClaimRequest): string {
  if (token.includes("\0") || payloadHash.includes("\0") || pipelineHash.includes("\0")) {
    throw new TypeError(`expected token, payloadHash and pipelineHash of ${eventId} without NUL characters`);
  }
  return `${payloadHash}\0${pipelineHash}\0${token}`;
}

export function packStep(step: StepRecord): Buffer {
  const packed = Buffer.allocUnsafe(stepHeaderBytes + step.result.length);
  writeStep(packed, step, 0);
  return packed;
}

/** Returns where it ends. */
function writeStep(packed: Buffer, { kind, state, codec, checksum, result }: StepRecord, from: number): number {
  packed[from] = stepKinds.indexOf(kind);
  packed[from + 1] = stepStates.indexOf(state);
  packed.writeUInt32BE(codec, from + 2);
  packed.writeUInt32BE(checksum, from + 6);
  if (result.length > 0) packed.set(result, from + stepHeaderBytes);
  return from + stepHeaderBytes + result.length;
}

/** Without an outbox and steps it stays a string, which is cheaper to send. */
export function packFinish({ epoch, outbox, steps }: FinishWrite): string | Buffer {
  if (steps !== undefined && steps.length > 0) return packStepped(epoch, outbox, steps);
  return outbox.length === 0 ? String(epoch) : Buffer.concat([Buffer.from(`${epoch}:`, "latin1"), outbox]);
}

/** One buffer for all of it. */
function packStepped(epoch: number, outbox: Uint8Array, steps: readonly StepRecord[]): Buffer {
  const head = `${epoch};${2 * steps.length};`;
  let size = head.length + outbox.length;
  for (let index = 0; index < steps.length; index += 1) {
    const { name, result } = steps[index] as StepRecord;
    size += 2 * lengthBytes + name.length * utf8BytesMax + stepHeaderBytes + result.length;
  }
  const packed = Buffer.allocUnsafe(size);
  let at = packed.write(head, 0, "latin1");
  for (let index = 0; index < steps.length; index += 1) {
    const step = steps[index] as StepRecord;
    const nameBytes = packed.write(step.name, at + lengthBytes);
    at = packed.writeUInt32BE(nameBytes, at) + nameBytes;
    at = writeStep(packed, step, packed.writeUInt32BE(stepHeaderBytes + step.result.length, at));
  }
  packed.set(outbox, at);
  return packed.subarray(0, at + outbox.length);
}

export function finishBytes({ outbox, steps }: FinishWrite): number {
  return outbox.length + (steps?.reduce((sum, { result }) => sum + result.length, 0) ?? 0);
}

function unpackSteps(fields: unknown): StepRecord[] {
  assertArray(fields, "a hash of steps");
  const numbered: { readonly number: number; readonly step: StepRecord }[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    const name = textOf(fields[index], "a step's name");
    const packed = bytesOf(fields[index + 1], "a step");
    const kind = packed.length < stampBytes + stepHeaderBytes ? undefined : stepKinds[packed.readUInt8(stampBytes)];
    const state = kind && stepStates[packed.readUInt8(stampBytes + 1)];
    if (kind === undefined || state === undefined)
      throw new StoreRefusedError(
        `expected a packed step '${name}' in Redis, found ${packed.length} other bytes; look at what else writes under the store's prefix`,
      );
    const step: StepRecord = {
      name,
      kind,
      state,
      codec: packed.readUInt32BE(stampBytes + 2),
      checksum: packed.readUInt32BE(stampBytes + 6),
      result: packed.subarray(stampBytes + stepHeaderBytes),
      atMs: packed.readDoubleBE(4),
    };
    numbered.push({ number: packed.readUInt32BE(0), step });
  }
  return numbered.sort((one, other) => one.number - other.number).map(({ step }) => step);
}

function unpackAcquired(detail: unknown): Acquired {
  assertArray(detail, "an acquired run");
  const [epoch, failures, losses, generation, restarts, pipelineHash, steps] = detail;
  return {
    kind: "acquired",
    epoch: numberOf(epoch, "an epoch"),
    failures: numberOf(failures, "failures"),
    losses: numberOf(losses, "losses"),
    generation: numberOf(generation, "a generation"),
    restarts: numberOf(restarts, "restarts"),
    pipelineHash: textOf(pipelineHash, "a pipeline hash"),
    steps: unpackSteps(steps),
  };
}

function unpackHistory(texts: unknown): readonly HistoryEntry[] {
  assertArray(texts, "a history");
  return decodeHistory(texts.map((text) => textOf(text, "a history entry")));
}

function unpackDead(detail: unknown): ClaimResult {
  assertArray(detail, "a run that was given up");
  return { kind: "dead", reason: textOf(detail[0], "a reason"), history: unpackHistory(detail[1]) };
}

/** What is kept in the history of a run that ends; empty when nothing is said of its end. */
export function deathText(state: FailWrite["state"], death: FailWrite["death"]): string {
  return death === undefined || state === "waiting" ? "" : encodeEntry({ kind: "died", state, ...death });
}

/** What `revive.lua` reads. */
export function packRevival({ epoch, revival }: ReviveRequest): string {
  const entry = entryOf(revival);
  if (revival.by === "resend") return wellFormedJson({ epoch, enqueuedAtMs: revival.enqueuedAtMs, entry });
  return wellFormedJson({ epoch, order: { id: revival.id, payloadHash: revival.payloadHash }, entry });
}

export function unpackRevivals(reply: unknown, count: number): ReviveResult[] {
  const codes = bytesOf(reply, "revival codes");
  if (codes.length !== count) throw unexpected(`${count} revival codes`, codes.toString());
  return Array.from(codes, (code) => (code === letters.revived ? "revived" : "refused"));
}

const letters = { new: 0x6e, reused: 0x75, acquired: 0x61, held: 0x68, done: 0x64, dead: 0x78, written: 0x77, cancelling: 0x63, revived: 0x76 } as const;

/** The sentinel's value, or empty when it is the known one, and an answer for each request. */
export function unpackClaims(reply: unknown, requests: readonly ClaimRequest[]): { readonly sentinel: string; readonly results: ClaimResult[] } {
  assertArray(reply, "the answer to a claim");
  const codes = bytesOf(reply[1], "claim codes");
  if (codes.length !== requests.length) throw unexpected(`${requests.length} claim codes`, codes.toString());
  let next = 2;
  // Runs that nobody had claimed before are alike, and most are: they share one answer.
  let fresh: Acquired | undefined;
  const results = requests.map(({ pipelineHash }, index): ClaimResult => {
    switch (codes[index]) {
      case letters.new:
        if (fresh?.pipelineHash !== pipelineHash)
          fresh = { kind: "acquired", epoch: 1, failures: 0, losses: 0, generation: 0, restarts: 0, pipelineHash, steps: [] };
        return fresh;
      case letters.acquired:
        return unpackAcquired(reply[next++]);
      case letters.held:
        return { kind: "held", forMs: numberOf(reply[next++], "a lease") };
      case letters.done:
        return { kind: "done", outbox: bytesOf(reply[next++], "an outbox") };
      case letters.dead:
        return unpackDead(reply[next++]);
      case letters.reused:
        return { kind: "reused" };
      default:
        throw unexpected("a known claim code", codes.toString());
    }
  });
  return { sentinel: textOf(reply[0], "a sentinel"), results };
}

/** What each sentinel says, or empty where it is as it was known. */
export function unpackSignatures(reply: unknown, count: number): string[] {
  assertArray(reply, "the answer to signatures");
  if (reply.length !== count) throw unexpected(`${count} sentinels`, String(reply.length));
  return reply.map((answer) => textOf(answer, "a sentinel"));
}

/** What a server is to who met another before: see scripts/inspect.lua. */
export type ServerFate = "same" | "replica" | "moved" | "kept" | "lost";

const serverFates: readonly ServerFate[] = ["same", "replica", "moved", "kept", "lost"];

export interface Inspection {
  /** The memory section of INFO. */
  readonly memory: string;
  /** Empty when it is not told. */
  readonly replicationId: string;
  readonly fate: ServerFate;
  /** How long ago a server was met that had taken another's place and kept all that could be looked for. */
  readonly keptAgoMs: number | undefined;
  readonly hasOrphans: boolean;
}

export function unpackInspection(reply: unknown): Inspection {
  assertArray(reply, "an inspection");
  const [memory, id, became, keptAgo, orphans] = reply;
  const fate = serverFates.find((known) => known === textOf(became, "what became of the server"));
  if (fate === undefined) throw unexpected("a known fate of the server", textOf(became, "a fate"));
  return {
    memory: textOf(memory, "INFO"),
    replicationId: textOf(id, "a replication id"),
    fate,
    keptAgoMs: keptAgo === null ? undefined : numberOf(keptAgo, "milliseconds"),
    hasOrphans: numberOf(orphans, "0 or 1") === 1,
  };
}

export function unpackWrites(reply: unknown, count: number): WriteResult[] {
  const codes = bytesOf(reply, "write codes");
  if (codes.length !== count) throw unexpected(`${count} write codes`, codes.toString());
  const results: WriteResult[] = [];
  for (let index = 0; index < count; index += 1) {
    const code = codes[index];
    results.push(code === letters.written ? "written" : code === letters.cancelling ? "cancelling" : "stale");
  }
  return results;
}

/** What a record says of how its run stands, as scripts tell it. */
interface Standing {
  readonly letter: unknown;
  readonly counts: readonly unknown[];
  readonly pipelineHash: unknown;
  readonly payloadHash: unknown;
  readonly tail: unknown;
  readonly leaseLeftMs: unknown;
  readonly lifeLeftMs: unknown;
}

/** A run that is done may have kept the end of life of its lease; its record says when it was done in place of the lease's end, unless an older worker wrote it. */
function writtenAgoMs(state: RunState, sinceLeaseMs: number, ofLifeMs: number): number {
  return Math.max(0, state === "done" && sinceLeaseMs >= 0 ? Math.min(sinceLeaseMs, ofLifeMs) : ofLifeMs);
}

function unpackStanding({ letter, counts, pipelineHash, payloadHash, tail, leaseLeftMs, lifeLeftMs }: Standing, retentionMs: number): RunStanding {
  const state = runStates.get(textOf(letter, "a state"));
  if (state === undefined) throw unexpected("a known state", textOf(letter, "a state"));
  const hasReason = state === "waiting" || state === "dead" || state === "parked";
  const [epoch, failures, losses, generation, restarts] = counts;
  return {
    state,
    epoch: numberOf(epoch, "an epoch"),
    failures: numberOf(failures, "failures"),
    losses: numberOf(losses, "losses"),
    generation: numberOf(generation, "a generation"),
    restarts: numberOf(restarts, "restarts"),
    pipelineHash: textOf(pipelineHash, "a pipeline hash"),
    payloadHash: textOf(payloadHash, "a payload hash"),
    reason: hasReason ? textOf(tail, "a reason") : undefined,
    claim: state === "running" ? { token: textOf(tail, "a token"), leftMs: numberOf(leaseLeftMs, "a lease") } : undefined,
    isCancelling: textOf(letter, "a state") === "c",
    writtenAgoMs: writtenAgoMs(state, -numberOf(leaseLeftMs, "a lease"), retentionMs - numberOf(lifeLeftMs, "a time to live")),
  };
}

export function unpackView(reply: unknown, consumer: string, eventId: string, retentionMs: number): RunView | undefined {
  if (reply === null) return undefined;
  assertArray(reply, "a run");
  const [letter, epoch, failures, losses, generation, restarts, pipelineHash, steps, tail, history, payloadHash, leaseLeftMs, lifeLeftMs, setbacks] = reply;
  const counts = [epoch, failures, losses, generation, restarts];
  const standing = unpackStanding({ letter, counts, pipelineHash, payloadHash, tail, leaseLeftMs, lifeLeftMs }, retentionMs);
  return {
    key: { consumer, eventId },
    ...standing,
    steps: unpackSteps(steps),
    outbox: standing.state === "done" ? bytesOf(tail, "an outbox") : nothing,
    history: unpackHistory(history),
    setbacks: unpackSetbacks(setbacks),
  };
}

function unpackSetbacks(texts: unknown): readonly Setback[] {
  assertArray(texts, "setbacks");
  return decodeSetbacks(texts.map((text) => textOf(text, "a setback")));
}

/** The cursor to go on with, and what was found. */
export function unpackScan(reply: unknown, retentionMs: number): { readonly cursor: string; readonly runs: readonly RunSummary[] } {
  assertArray(reply, "a part of a scan");
  const [cursor, found] = reply;
  assertArray(found, "runs");
  const runs = found.map((run): RunSummary => {
    assertArray(run, "a run");
    const [eventId, letter, epoch, failures, losses, generation, restarts, pipelineHash, payloadHash, tail, leaseLeftMs, lifeLeftMs, steps, outboxBytes] = run;
    const counts = [epoch, failures, losses, generation, restarts];
    return {
      eventId: textOf(eventId, "an event id"),
      ...unpackStanding({ letter, counts, pipelineHash, payloadHash, tail, leaseLeftMs, lifeLeftMs }, retentionMs),
      steps: numberOf(steps, "a number of steps"),
      outboxBytes: numberOf(outboxBytes, "a number of bytes"),
    };
  });
  return { cursor: textOf(cursor, "a cursor"), runs };
}

/** The letters of states, one after the other. */
export function lettersOf(states: readonly RunState[]): string {
  return [...runStates].flatMap(([letter, state]) => (states.includes(state) ? [letter] : [])).join("");
}

/** A hash's values. What cannot be read is left out. */
export function unpackKinds(reply: unknown): readonly RunKind[] {
  assertArray(reply, "kinds of runs");
  return reply.flatMap((text): readonly RunKind[] => {
    try {
      return [(JSON.parse(textOf(text, "a kind of runs")) as { kind: RunKind }).kind];
    } catch {
      return [];
    }
  });
}
