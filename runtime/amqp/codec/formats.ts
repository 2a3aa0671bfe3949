// Format codes (part 1, 1.2 and 1.6). A code's upper half tells how the bytes after it are laid out:
//
//   0x4_ no bytes     0x7_ four bytes      0xA_ length in one byte     0xC_, 0xE_ size and count in one byte each
//   0x5_ one byte     0x8_ eight bytes     0xB_ length in four bytes   0xD_, 0xF_ size and count in four bytes each
//   0x6_ two bytes    0x9_ sixteen bytes                               0x00 a descriptor, then the value it describes
import type { TypeName } from "./types.ts";

export const format = {
  described: 0x00,
  null: 0x40,
  true: 0x41,
  false: 0x42,
  uint0: 0x43,
  ulong0: 0x44,
  list0: 0x45,
  ubyte: 0x50,
  byte: 0x51,
  smallUint: 0x52,
  smallUlong: 0x53,
  smallInt: 0x54,
  smallLong: 0x55,
  boolean: 0x56,
  ushort: 0x60,
  short: 0x61,
  uint: 0x70,
  int: 0x71,
  float: 0x72,
  char: 0x73,
  decimal32: 0x74,
  ulong: 0x80,
  long: 0x81,
  double: 0x82,
  timestamp: 0x83,
  decimal64: 0x84,
  decimal128: 0x94,
  uuid: 0x98,
  binary8: 0xa0,
  string8: 0xa1,
  symbol8: 0xa3,
  binary32: 0xb0,
  string32: 0xb1,
  symbol32: 0xb3,
  list8: 0xc0,
  map8: 0xc1,
  list32: 0xd0,
  map32: 0xd1,
  array8: 0xe0,
  array32: 0xf0,
} as const;

/** The layout of a code that is not fixed in width; fixed ones are 0 to 16, their width. */
export const layout = { size8: 0x20, size32: 0x21, described: 0x30, unknown: 0xff } as const;

/** Layout by code: a width from 0 to 16, or one of `layout`. Codes that the specification does not define are unknown. */
export const layouts: Uint8Array = buildLayouts();

function buildLayouts(): Uint8Array {
  const table = new Uint8Array(256).fill(layout.unknown);
  const widths = [0, 1, 2, 4, 8, 16];
  for (const code of Object.values(format)) {
    const half = code >>> 4;
    if (code === format.described) table[code] = layout.described;
    else if (half <= 0x9) table[code] = widths[half - 4] ?? layout.unknown;
    else table[code] = half % 2 === 0 ? layout.size8 : layout.size32;
  }
  return table;
}

/** A type whose values are not described. */
export type UndescribedName = Exclude<TypeName, "described">;

const codesOfType: { readonly [Name in UndescribedName]: readonly number[] } = {
  null: [format.null],
  boolean: [format.boolean, format.true, format.false],
  ubyte: [format.ubyte],
  ushort: [format.ushort],
  uint: [format.uint, format.smallUint, format.uint0],
  ulong: [format.ulong, format.smallUlong, format.ulong0],
  byte: [format.byte],
  short: [format.short],
  int: [format.int, format.smallInt],
  long: [format.long, format.smallLong],
  float: [format.float],
  double: [format.double],
  decimal32: [format.decimal32],
  decimal64: [format.decimal64],
  decimal128: [format.decimal128],
  char: [format.char],
  timestamp: [format.timestamp],
  uuid: [format.uuid],
  binary: [format.binary8, format.binary32],
  string: [format.string8, format.string32],
  symbol: [format.symbol8, format.symbol32],
  list: [format.list0, format.list8, format.list32],
  map: [format.map8, format.map32],
  array: [format.array8, format.array32],
};

/** The type that each code encodes. */
export const typeNames: readonly (UndescribedName | undefined)[] = buildTypeNames();

function buildTypeNames(): (UndescribedName | undefined)[] {
  const names: (UndescribedName | undefined)[] = Array.from({ length: 256 });
  for (const [name, codes] of Object.entries(codesOfType)) {
    for (const code of codes) names[code] = name as UndescribedName;
  }
  return names;
}
