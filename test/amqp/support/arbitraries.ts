// Generators of AMQP values for fast-check.
import * as fc from "fast-check";
import { Typed, array, described } from "#runtime/amqp/codec/types.ts";
import type { TypeName, TypeValues, TypedValue } from "#runtime/amqp/codec/types.ts";

const bytes = (minLength: number, maxLength: number): fc.Arbitrary<Buffer> => fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
const text = fc.oneof(fc.string({ unit: "grapheme", maxLength: 40 }), fc.string({ unit: "binary", minLength: 80, maxLength: 300 }).map(wellFormed));
const ascii = fc.oneof(fc.string({ unit: "binary-ascii", maxLength: 40 }), fc.string({ unit: "binary-ascii", minLength: 250, maxLength: 300 }));

function wellFormed(value: string): string {
  return value.toWellFormed();
}

export type ScalarName = Exclude<TypeName, "list" | "map" | "array" | "described">;

const scalars: { readonly [Name in ScalarName]: fc.Arbitrary<TypeValues[Name]> } = {
  null: fc.constant(null),
  boolean: fc.boolean(),
  ubyte: fc.integer({ min: 0, max: 0xff }),
  ushort: fc.integer({ min: 0, max: 0xffff }),
  uint: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 0xffff_ffff })),
  ulong: fc.oneof(fc.bigInt({ min: 0n, max: 300n }), fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn })),
  byte: fc.integer({ min: -0x80, max: 0x7f }),
  short: fc.integer({ min: -0x8000, max: 0x7fff }),
  int: fc.oneof(fc.integer({ min: -200, max: 200 }), fc.integer()),
  long: fc.oneof(fc.bigInt({ min: -200n, max: 200n }), fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })),
  float: fc.float(),
  double: fc.double(),
  decimal32: bytes(4, 4),
  decimal64: bytes(8, 8),
  decimal128: bytes(16, 16),
  char: fc.string({ unit: "binary", minLength: 1, maxLength: 1 }).filter((char) => char.isWellFormed()),
  timestamp: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
  uuid: bytes(16, 16),
  binary: fc.oneof(bytes(0, 20), bytes(250, 300)),
  string: text,
  symbol: ascii,
};

export const scalarNames: readonly ScalarName[] = Object.keys(scalars) as ScalarName[];

export function scalarOf(name: ScalarName): fc.Arbitrary<TypedValue> {
  return (scalars[name] as fc.Arbitrary<unknown>).map((value) => new Typed(name, value as never) as TypedValue);
}

export const scalar: fc.Arbitrary<TypedValue> = fc.oneof(...scalarNames.map(scalarOf));

const descriptor: fc.Arbitrary<TypedValue> = fc.oneof(scalarOf("ulong"), scalarOf("symbol"));

/** An array of scalars, or of described scalars. */
const scalarArray: fc.Arbitrary<TypedValue> = fc.constantFrom(...scalarNames).chain((name) =>
  fc.tuple(fc.option(descriptor, { nil: undefined }), fc.array(scalarOf(name), { maxLength: 6 })).map(([description, items]) => {
    const of = name as Exclude<TypeName, "described">;
    return description === undefined
      ? array(of, items)
      : array(
          { descriptor: description, of },
          items.map((item) => described(description, item)),
        );
  }),
);

/** Every type, nested a few levels. */
export const typedValue: fc.Arbitrary<TypedValue> = fc.letrec<{ value: TypedValue; list: TypedValue; map: TypedValue; compoundArray: TypedValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    scalar,
    tie("list"),
    tie("map"),
    scalarArray,
    tie("compoundArray"),
    fc.tuple(descriptor, tie("value")).map(([description, value]) => described(description, value)),
  ),
  list: fc.array(tie("value"), { maxLength: 5 }).map((items) => new Typed("list", items)),
  map: fc.array(fc.tuple(scalar, tie("value")), { maxLength: 5 }).map((entries) => new Typed("map", entries)),
  compoundArray: fc.oneof(
    fc.array(tie("list"), { maxLength: 3 }).map((items) => array("list", items)),
    fc.array(tie("map"), { maxLength: 3 }).map((items) => array("map", items)),
    fc.array(scalarArray, { maxLength: 3 }).map((items) => array("array", items)),
  ),
})).value;
