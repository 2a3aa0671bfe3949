/** What stays readable for a time of a run that is done: its steps, and its claims that ended without success. */
import type { StepKind, StepRecord } from "../../../core/run.ts";

export interface DoneDetails {
  readonly steps: readonly StepRecord[];
  /** As they are encoded. */
  readonly setbacks: readonly string[];
}

const stepKinds: readonly StepKind[] = ["keyed", "queryable", "idempotent", "atMostOnce"];
/** Kind and state (1), codec (4), checksum (4), time (6), length of the name (2) and of the result (4). */
const headBytes = 21;

/** How many steps there are, each behind its head, and then the setbacks as JSON. */
export function packDetails({ steps, setbacks }: DoneDetails): Buffer {
  const parts: Uint8Array[] = [];
  for (const { name, kind, state, codec, checksum, atMs, result } of steps) {
    const head = Buffer.allocUnsafe(headBytes);
    const text = Buffer.from(name);
    head.writeUInt8(stepKinds.indexOf(kind) * 2 + (state === "completed" ? 1 : 0), 0);
    head.writeUInt32BE(codec, 1);
    head.writeUInt32BE(checksum, 5);
    head.writeUIntBE(atMs, 9, 6);
    head.writeUInt16BE(text.length, 15);
    head.writeUInt32BE(result.length, 17);
    parts.push(head, text, result);
  }
  const count = Buffer.allocUnsafe(4);
  count.writeUInt32BE(steps.length);
  const rest = setbacks.length === 0 ? [] : [Buffer.from(JSON.stringify(setbacks))];
  return Buffer.concat([count, ...parts, ...rest]);
}

export function unpackDetails(packed: Uint8Array): DoneDetails {
  const buffer = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  const steps: StepRecord[] = [];
  let at = 4;
  for (let left = buffer.readUInt32BE(0); left > 0; left -= 1) {
    const kindAndState = buffer.readUInt8(at);
    const nameAt = at + headBytes;
    const resultAt = nameAt + buffer.readUInt16BE(at + 15);
    const end = resultAt + buffer.readUInt32BE(at + 17);
    steps.push({
      name: buffer.toString("utf8", nameAt, resultAt),
      kind: stepKinds[kindAndState >>> 1] ?? "keyed",
      state: (kindAndState & 1) === 1 ? "completed" : "intent",
      codec: buffer.readUInt32BE(at + 1),
      checksum: buffer.readUInt32BE(at + 5),
      atMs: buffer.readUIntBE(at + 9, 6),
      result: new Uint8Array(buffer.subarray(resultAt, end)),
    });
    at = end;
  }
  const rest = buffer.subarray(at);
  return { steps, setbacks: rest.length === 0 ? [] : (JSON.parse(rest.toString()) as string[]) };
}
