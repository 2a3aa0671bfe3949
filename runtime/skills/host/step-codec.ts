// How a step's result, and the events it emitted, are kept in a checkpoint.
import { crc32 } from "node:zlib";
import { Packr } from "msgpackr/pack";
import type { OutgoingMessage } from "../../core/delivery.ts";
import type { StepKind, StepQuality, StepRecord } from "../../core/run.ts";
import { checkData } from "./plain-data.ts";

/** Raised when what is written can no longer be read by the version before. */
export const stepCodec = 1;

/** Largest encoded result, with what the step emitted: a checkpoint is no place for artifacts. */
export const stepResultBytesMax: number = 256 * 1024;

/** Keeps dates, bytes, maps and sets apart from plain objects, each buffer being complete in itself. */
const packr = new Packr({ structuredClone: true, copyBuffers: true });
const nothing = new Uint8Array(0);

/** What most steps leave that only act: no result, no event. */
const nothingLeft = new Uint8Array(packr.pack([undefined, []]));
const checksumOfNothing = crc32(nothingLeft);

/** What a completed step left. */
export interface StepOutcome {
  readonly result: unknown;
  readonly emitted: readonly OutgoingMessage[];
  readonly quality: StepQuality;
}

export function encodeIntent(name: string, kind: StepKind): StepRecord {
  return { name, kind, state: "intent", result: nothing, checksum: 0, codec: stepCodec, atMs: 0 };
}

/** Takes an intent back: its effect certainly did not happen. */
export function encodeWithdrawal(name: string): StepRecord {
  return encodeIntent(name, "idempotent");
}

export function isWithdrawn({ state, kind }: Pick<StepRecord, "state" | "kind">): boolean {
  return state === "intent" && kind === "idempotent";
}

/** A completed step's record. Throws when the result holds what cannot be kept. */
export function encodeStep(name: string, kind: StepKind, outcome: StepOutcome): StepRecord {
  const { result: value, emitted, quality } = outcome;
  if (value === undefined && emitted.length === 0 && quality === "full")
    return { name, kind, state: "completed", result: nothingLeft, checksum: checksumOfNothing, codec: stepCodec, atMs: 0 };
  checkData("result", value);
  return recordFrom(name, kind, new Uint8Array(packr.pack(quality === "full" ? [value, emitted] : [value, emitted, quality])));
}

/** The record of a completed step whose result is encoded already. */
export function recordFrom(name: string, kind: StepKind, result: Uint8Array): StepRecord {
  return { name, kind, state: "completed", result, checksum: crc32(result), codec: stepCodec, atMs: 0 };
}

/** What a completed step left; undefined when its record is damaged or of a later version. */
export function decodeStep(record: StepRecord): StepOutcome | undefined {
  if (record.codec !== stepCodec || crc32(record.result) !== record.checksum) return undefined;
  try {
    const [result, emitted, quality = "full"] = packr.unpack(record.result) as [unknown, readonly OutgoingMessage[], StepQuality?];
    return { result, emitted, quality };
  } catch {
    return undefined;
  }
}
