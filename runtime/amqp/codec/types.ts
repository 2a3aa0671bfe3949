// AMQP values in JavaScript (part 1).
//
// There are three ways to hold one:
//
//   Plain       what `readPlain` gives: the natural JavaScript value. The exact type is lost (an int and a ubyte are both a
//               number), which is what most readers want.
//   TypedValue  what `readTyped` gives: a tree of `Typed`, from which exactly the same types are written again.
//   Raw         encoded bytes that go out untouched: the cheapest way to pass on what came in.
//
// What is written (`Encodable`) may mix all three. A plain value is written as its most natural type: a whole number as int
// when it fits, else long; another number as double; a bigint as long; a Date as timestamp; a string as string; bytes as
// binary; an array as list; a Map or an object as map. `undefined` is written as null.

/** The JavaScript value that carries each AMQP type exactly. */
export interface TypeValues {
  readonly null: null;
  readonly boolean: boolean;
  readonly ubyte: number;
  readonly ushort: number;
  readonly uint: number;
  readonly ulong: bigint;
  readonly byte: number;
  readonly short: number;
  readonly int: number;
  readonly long: bigint;
  readonly float: number;
  readonly double: number;
  /** The raw bytes: JavaScript has no decimal type. */
  readonly decimal32: Uint8Array;
  readonly decimal64: Uint8Array;
  readonly decimal128: Uint8Array;
  /** One Unicode code point. */
  readonly char: string;
  /** Milliseconds since 1970 UTC. */
  readonly timestamp: bigint;
  /** Sixteen bytes. */
  readonly uuid: Uint8Array;
  readonly binary: Uint8Array;
  readonly string: string;
  /** ASCII only. */
  readonly symbol: string;
  readonly list: readonly TypedValue[];
  readonly map: readonly (readonly [TypedValue, TypedValue])[];
  readonly array: TypedArrayValue;
  readonly described: { readonly descriptor: TypedValue; readonly value: TypedValue };
}

export type TypeName = keyof TypeValues;

/** What every element of an array is. */
export type ElementType = Exclude<TypeName, "described"> | { readonly descriptor: TypedValue; readonly of: ElementType };

export interface TypedArrayValue {
  readonly of: ElementType;
  readonly items: readonly TypedValue[];
}

/** A value together with its AMQP type. */
export class Typed<Name extends TypeName> {
  readonly type: Name;
  readonly value: TypeValues[Name];

  constructor(type: Name, value: TypeValues[Name]) {
    this.type = type;
    this.value = value;
  }
}

export type TypedValue = { [Name in TypeName]: Typed<Name> }[TypeName];

/** One encoded value, to be written as it is. */
export class Raw {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** A described value whose descriptor means nothing to the engine. */
export class Described {
  readonly descriptor: Plain;
  readonly value: Plain;

  constructor(descriptor: Plain, value: Plain) {
    this.descriptor = descriptor;
    this.value = value;
  }
}

/**
 * A decoded value. ulong and long are a number when it is exact, else a bigint; a timestamp is a Date (at the ends of Date's
 * range when beyond it); a uuid is its 36-character string; binary is a slice, not a copy; a decimal stays `Typed`.
 */
export type Plain =
  | null
  | boolean
  | number
  | bigint
  | string
  | Date
  | Buffer
  | Typed<"decimal32">
  | Typed<"decimal64">
  | Typed<"decimal128">
  | Described
  | readonly Plain[]
  | ReadonlyMap<Plain, Plain>;

/** A value that can be written. */
export type Encodable =
  | undefined
  | null
  | boolean
  | number
  | bigint
  | string
  | Date
  | Uint8Array
  | TypedValue
  | Raw
  | Described
  | readonly Encodable[]
  | ReadonlyMap<Encodable, Encodable>
  | { readonly [key: string]: Encodable };

/** A map with symbols for keys, as properties, annotations and filters are. */
export type Fields = { readonly [key: string]: Encodable };

export function symbol(value: string): Typed<"symbol"> {
  return new Typed("symbol", value);
}

export function ubyte(value: number): Typed<"ubyte"> {
  return new Typed("ubyte", value);
}

export function ushort(value: number): Typed<"ushort"> {
  return new Typed("ushort", value);
}

export function uint(value: number): Typed<"uint"> {
  return new Typed("uint", value);
}

export function int(value: number): Typed<"int"> {
  return new Typed("int", value);
}

export function ulong(value: number | bigint): Typed<"ulong"> {
  return new Typed("ulong", BigInt(value));
}

export function long(value: number | bigint): Typed<"long"> {
  return new Typed("long", BigInt(value));
}

/** `ms` since 1970 UTC. */
export function timestamp(ms: number | bigint): Typed<"timestamp"> {
  return new Typed("timestamp", BigInt(ms));
}

/** From sixteen bytes. */
export function uuid(bytes: Uint8Array): Typed<"uuid"> {
  return new Typed("uuid", bytes);
}

export function described(descriptor: TypedValue, value: TypedValue): Typed<"described"> {
  return new Typed("described", { descriptor, value });
}

export function array(of: ElementType, items: readonly TypedValue[]): Typed<"array"> {
  return new Typed("array", { of, items });
}

/** An array of symbols, the form of every field that the specification marks `multiple`. */
export function symbols(names: readonly string[]): Typed<"array"> {
  return array("symbol", names.map(symbol));
}

/** `fields` with symbols for keys. */
export function symbolMap(fields: Fields): ReadonlyMap<Encodable, Encodable> {
  return new Map(Object.entries(fields).map(([key, value]) => [symbol(key), value]));
}
