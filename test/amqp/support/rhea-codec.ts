// The encoder and decoder inside rhea, as the reference for encodings that have only one canonical form.
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
