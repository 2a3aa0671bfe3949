/**
 * Results of runs that completed with steps to be recorded with their end and have nothing else to say, one behind the other. To pack them as
 * msgpack takes four times as long.
 *
 *   result:  ticket (8) · duration (8) · of that, waited for records (8) · number of steps (2) · step …
 *   step:    name's length (2) · kind (1) · is completed (1) · checksum (4) · codec (4) · written at (8) · result's length (4) · name · result
 */
import type { OutgoingMessage } from "../../core/delivery.ts";
import type { CallReport, RunAnswer } from "../../core/outcome.ts";
import type { StepRecord } from "../../core/run.ts";
import { stepKinds } from "./wire.ts";

const nothingEmitted: readonly OutgoingMessage[] = [];
const headBytes = 26;
const stepBytes = 24;
/** Of a UTF-16 unit in UTF-8, at most. */
const unitBytesMax = 3;
const bytesMin = 4_096;
/** A larger buffer is not kept for the next report. */
const keptMax = 262_144;
const countMax = 0xffff;

type Stepped = Extract<RunAnswer, { kind: "completed" }> & { readonly steps: readonly StepRecord[] };

/** Whether a result says no more than its ticket, its times and its steps. */
export function isStepped(answer: RunAnswer, calls: readonly CallReport[]): answer is Stepped {
  if (answer.kind !== "completed" || answer.steps === undefined || calls.length > 0) return false;
  return answer.outbox.length === 0 && answer.sessionState === undefined && answer.steps.length <= countMax;
}

/** Such results until they are sent. */
export class SteppedResults {
  #bytes = Buffer.alloc(bytesMin);
  #view = viewOf(this.#bytes);
  #length = 0;

  add(ticket: number, durationMs: number, recordingMs: number, steps: readonly StepRecord[]): void {
    this.#reserve(headBytes);
    const at = this.#length;
    this.#view.setFloat64(at, ticket);
    this.#view.setFloat64(at + 8, durationMs);
    this.#view.setFloat64(at + 16, recordingMs);
    this.#view.setUint16(at + 24, steps.length);
    this.#length += headBytes;
    for (let index = 0; index < steps.length; index += 1) this.#addStep(steps[index]!);
  }

  #addStep({ name, kind, state, checksum, codec, atMs, result }: StepRecord): void {
    this.#reserve(stepBytes + name.length * unitBytesMax + result.byteLength);
    const at = this.#length;
    const nameLength = this.#bytes.write(name, at + stepBytes);
    this.#view.setUint16(at, nameLength);
    this.#view.setUint8(at + 2, stepKinds.indexOf(kind));
    this.#view.setUint8(at + 3, state === "completed" ? 1 : 0);
    this.#view.setUint32(at + 4, checksum);
    this.#view.setUint32(at + 8, codec);
    this.#view.setFloat64(at + 12, atMs);
    this.#view.setUint32(at + 20, result.byteLength);
    this.#bytes.set(result, at + stepBytes + nameLength);
    this.#length += stepBytes + nameLength + result.byteLength;
  }

  /** All of them; valid until the next is added. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    if (this.#bytes.length > keptMax) this.#use(Buffer.alloc(bytesMin));
    return taken;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.alloc(Math.max(this.#bytes.length * 2, needed));
    larger.set(this.#bytes);
    this.#use(larger);
  }

  #use(bytes: Buffer<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Results of steps share the memory of `bytes`. */
export function forEachStepped(bytes: Uint8Array, visit: (ticket: number, durationMs: number, recordingMs: number, answer: RunAnswer) => void): void {
  const { buffer, byteOffset, byteLength } = bytes;
  const text = Buffer.from(buffer, byteOffset, byteLength);
  const view = viewOf(bytes);
  for (let next = 0; next < byteLength;) {
    const head = next;
    next += headBytes;
    const steps: StepRecord[] = [];
    for (let left = view.getUint16(head + 24); left > 0; left -= 1) {
      const at = next;
      const resultAt = at + stepBytes + view.getUint16(at);
      next = resultAt + view.getUint32(at + 20);
      steps.push({
        name: text.toString("utf8", at + stepBytes, resultAt),
        kind: stepKinds[view.getUint8(at + 2)] ?? "keyed",
        state: view.getUint8(at + 3) === 1 ? "completed" : "intent",
        result: new Uint8Array(buffer, byteOffset + resultAt, next - resultAt),
        checksum: view.getUint32(at + 4),
        codec: view.getUint32(at + 8),
        atMs: view.getFloat64(at + 12),
      });
    }
    visit(view.getFloat64(head), view.getFloat64(head + 8), view.getFloat64(head + 16), { kind: "completed", outbox: nothingEmitted, steps });
  }
}
