// The encoder and decoder inside rhea, as the reference for encodings that have only one canonical form.
import { createRequire } from "node:module";
import rhea from "rhea";

export interface RheaTyped {
  readonly type: { readonly name: string; readonly typecode: number };
  readonly value: unknown;
}

interface RheaTypes {
  readonly Writer: new () => { write(value: unknown): void; toBuffer(): Buffer };
  readonly Reader: new (bytes: Buffer) => { read(): RheaTyped; remaining(): number };
  readonly unwrap: (value: RheaTyped) => unknown;
}

const types = rhea.types as unknown as RheaTypes;

/** `rhea.types.NAME(...values)`: wrap_uint, Decimal32, wrap_array, … */
export function rheaValue(name: string, ...values: readonly unknown[]): RheaTyped {
  const make = (types as unknown as { readonly [name: string]: (...values: readonly unknown[]) => RheaTyped })[name];
  if (make === undefined) throw new Error(`expected rhea.types.${name} to exist`);
  return make(...values);
}

export function rheaEncode(value: unknown): Buffer {
  const writer = new types.Writer();
  writer.write(value);
  return Buffer.from(writer.toBuffer());
}

/** The plain value that rhea reads. */
export function rheaDecode(bytes: Buffer): unknown {
  return types.unwrap(new types.Reader(bytes).read());
}

interface RheaFrames {
  readonly amqp_frame: (channel: number, performative: unknown, payload?: Buffer) => unknown;
  readonly sasl_frame: (performative: unknown) => unknown;
  readonly write_frame: (frame: unknown) => Buffer;
  readonly read_frame: (bytes: Buffer) => { readonly channel: number; readonly performative: Readonly<Record<string, unknown>>; readonly payload?: Buffer };
  readonly [performative: string]: unknown;
}

const frames = createRequire(import.meta.url)("rhea/lib/frames.js") as RheaFrames;
const terminus = createRequire(import.meta.url)("rhea/lib/terminus.js") as Readonly<
  Record<"source" | "target", (fields: object) => { described(): unknown }>
> & { unwrap(value: unknown): Readonly<Record<string, unknown>> };

/** A frame as rhea writes it, without its eight bytes of head. */
export function rheaFrameBody(performative: string, fields: object, payload?: Buffer): Buffer {
  const create = frames[performative] as (fields: object) => unknown;
  return Buffer.from(frames.write_frame(frames.amqp_frame(0, create(fields), payload)).subarray(8));
}

/** The fields that rhea reads from a frame's body. */
export function rheaPerformative(body: Buffer, type = 0): Readonly<Record<string, unknown>> {
  const head = Buffer.from([0, 0, 0, 0, 2, type, 0, 0]);
  head.writeUInt32BE(8 + body.length);
  return frames.read_frame(Buffer.concat([head, body])).performative;
}

export function rheaTerminus(kind: "source" | "target", fields: object): unknown {
  return terminus[kind](fields).described();
}

export function rheaUnwrapTerminus(value: unknown): Readonly<Record<string, unknown>> {
  return terminus.unwrap(value);
}
