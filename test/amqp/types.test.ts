import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import * as fc from "fast-check";
import { decode, decodeTyped } from "#runtime/amqp/codec/decode.ts";
import { encode } from "#runtime/amqp/codec/encode.ts";
import { ProtocolError, conditions } from "#runtime/amqp/codec/errors.ts";
import { skipValue } from "#runtime/amqp/codec/skip.ts";
import {
  Described,
  Raw,
  Typed,
  array,
  described,
  int,
  long,
  symbol,
  symbolMap,
  symbols,
  timestamp,
  ubyte,
  uint,
  ulong,
  ushort,
  uuid,
} from "#runtime/amqp/codec/types.ts";
import type { Encodable, TypedValue } from "#runtime/amqp/codec/types.ts";
import { FieldReader } from "#runtime/amqp/codec/fields.ts";
import { MapView } from "#runtime/amqp/codec/views.ts";
import { scalarNames, scalarOf, typedValue } from "./support/arbitraries.ts";
import type { ScalarName } from "./support/arbitraries.ts";
import { rheaDecode, rheaEncode, rheaValue } from "./support/rhea-codec.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

function refused(bytes: Buffer, pattern: RegExp): void {
  for (const read of [decode, decodeTyped]) {
    assert.throws(
      () => read(bytes),
      (error) => error instanceof ProtocolError && error.code === conditions.decodeError && pattern.test(error.message),
      `${read.name} of ${bytes.toString("hex").slice(0, 80)}`,
    );
  }
}

describe("round trips", () => {
  test("every type comes back exactly, whatever surrounds it", () => {
    fc.assert(
      fc.property(typedValue, (value) => {
        const bytes = encode(value);
        assert.deepEqual(decodeTyped(bytes), value);
        assert.equal(skipValue(bytes, 0, bytes.length), bytes.length);
        assert.deepEqual(encode(decodeTyped(bytes)), bytes);
      }),
      { numRuns: 600 },
    );
  });

  for (const name of scalarNames) {
    test(`${name} comes back exactly`, () => {
      fc.assert(fc.property(scalarOf(name), (value) => assert.deepEqual(decodeTyped(encode(value)), value)));
    });
  }

  test("plain values come back as their natural types", () => {
    const cases: readonly (readonly [Encodable, TypedValue])[] = [
      [undefined, new Typed("null", null)],
      [7, int(7)],
      [-0x8000_0000, int(-0x8000_0000)],
      [0x8000_0000, long(0x8000_0000)],
      [1.5, new Typed("double", 1.5)],
      [5n, long(5)],
      ["text", new Typed("string", "text")],
      [new Date(5), timestamp(5)],
      [[1, "a"], new Typed("list", [int(1), new Typed("string", "a")])],
      [{ a: true }, new Typed("map", [[new Typed("string", "a"), new Typed("boolean", true)]])],
      [symbolMap({ a: null }), new Typed("map", [[symbol("a"), new Typed("null", null)]])],
      [new Raw(hex("53 05")), ulong(5)],
    ];
    for (const [plain, typed] of cases) assert.deepEqual(decodeTyped(encode(plain)), typed);
  });

  test("plain reading gives the natural JavaScript value", () => {
    const id = Buffer.from("00112233445566778899aabbccddeeff", "hex");
    const cases: readonly (readonly [TypedValue, unknown])[] = [
      [ulong(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER],
      [ulong(2n ** 63n), 2n ** 63n],
      [long(-(2n ** 53n) + 1n), -Number.MAX_SAFE_INTEGER],
      [long(-(2n ** 60n)), -(2n ** 60n)],
      [uuid(id), "00112233-4455-6677-8899-aabbccddeeff"],
      [symbol("s"), "s"],
      [timestamp(1234), new Date(1234)],
      [timestamp((1n << 63n) - 1n), new Date(8.64e15)],
      [new Typed("decimal32", id.subarray(0, 4)), new Typed("decimal32", id.subarray(0, 4))],
      [described(symbol("d"), array("uint", [uint(1)])), new Described("d", [1])],
      [array({ descriptor: ulong(9), of: "string" }, [described(ulong(9), new Typed("string", "x"))]), [new Described(9, "x")]],
      [new Typed("map", [[symbol("k"), int(1)]]), new Map([["k", 1]])],
    ];
    for (const [typed, plain] of cases) assert.deepEqual(decode(encode(typed)), plain);
  });

  test("binary is read as a slice, not a copy", () => {
    const bytes = encode(Buffer.from("abc"));
    const read = decode(bytes);
    assert.ok(Buffer.isBuffer(read));
    assert.equal(read.buffer, bytes.buffer);
  });
});

describe("against rhea's encoder", () => {
  const wide = (value: bigint): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
    return bytes;
  };
  const inRhea: { readonly [Name in ScalarName]: (value: never) => unknown } = {
    null: () => rheaValue("Null"),
    boolean: (value) => rheaValue("wrap_boolean", value),
    ubyte: (value) => rheaValue("wrap_ubyte", value),
    ushort: (value) => rheaValue("wrap_ushort", value),
    uint: (value) => rheaValue("wrap_uint", value),
    ulong: (value: bigint) => rheaValue("wrap_ulong", wide(value)),
    byte: (value) => rheaValue("wrap_byte", value),
    short: (value) => rheaValue("wrap_short", value),
    int: (value) => rheaValue("wrap_int", value),
    long: (value: bigint) => rheaValue("wrap_long", value >= -200n && value <= 200n ? Number(value) : wide(value)),
    float: (value) => rheaValue("wrap_float", value),
    double: (value) => rheaValue("wrap_double", value),
    decimal32: (value) => rheaValue("Decimal32", value),
    decimal64: (value) => rheaValue("Decimal64", value),
    decimal128: (value) => rheaValue("Decimal128", value),
    char: (value: string) => rheaValue("wrap_char", value.codePointAt(0)),
    timestamp: (value: bigint) => rheaValue("wrap_timestamp", wide(value)),
    uuid: (value) => rheaValue("wrap_uuid", value),
    binary: (value) => rheaValue("wrap_binary", value),
    string: (value) => rheaValue("wrap_string", value),
    symbol: (value) => rheaValue("wrap_symbol", value),
  };

  for (const name of scalarNames) {
    test(`${name} is the same bytes`, () => {
      fc.assert(fc.property(scalarOf(name), (value) => assert.deepEqual(encode(value), rheaEncode(inRhea[name](value.value as never)))));
    });
  }

  test("lists, maps and arrays past the short form are the same bytes", () => {
    const items = Array.from({ length: 300 }, (_, index) => `item ${index}`);
    assert.deepEqual(encode(items), rheaEncode(rheaValue("wrap_list", items)));
    assert.deepEqual(
      encode(Object.fromEntries(items.map((item) => [item, item]))),
      rheaEncode(rheaValue("wrap_map", Object.fromEntries(items.map((item) => [item, item])))),
    );
    assert.deepEqual(encode(symbols(items)), rheaEncode(rheaValue("wrap_array", items, 0xa3)));
    assert.deepEqual(encode([]), rheaEncode(rheaValue("wrap_list", [])));
  });

  test("rhea reads the short forms it does not write itself", () => {
    assert.deepEqual(rheaDecode(encode(["a", uint(1)])), ["a", 1]);
    assert.deepEqual(rheaDecode(encode({ a: "b" })), { a: "b" });
    assert.deepEqual(rheaDecode(encode(symbols(["a", "b"]))), ["a", "b"]);
  });
});

describe("bounds of a value to be written", () => {
  const wrong: readonly TypedValue[] = [
    ubyte(256),
    ushort(-1),
    uint(0x1_0000_0000),
    uint(1.5),
    ulong(-1),
    int(0x8000_0000),
    long(2n ** 63n),
    new Typed("byte", 128),
    new Typed("char", "ab"),
    new Typed("char", "\ud800"),
    new Typed("uuid", Buffer.alloc(15)),
    symbol("é"),
    symbols(["é"]),
    array("uint", [int(1)]),
    array({ descriptor: ulong(1), of: "uint" }, [uint(1)]),
    array("uint", [uint(-1)]),
  ];
  for (const value of wrong) {
    test(`${inspect(value, { breakLength: Infinity })} is refused`, () => {
      assert.throws(
        () => encode(value),
        (error) => error instanceof RangeError || error instanceof TypeError,
      );
    });
  }
});

describe("hostile bytes", () => {
  test("every prefix of a value is refused as not whole", () => {
    fc.assert(
      fc.property(typedValue, (value) => {
        const bytes = encode(value);
        for (let length = 0; length < bytes.length; length++) {
          const cut = bytes.subarray(0, length);
          assert.throws(() => decodeTyped(cut), ProtocolError);
          assert.throws(() => decode(cut), ProtocolError);
          assert.throws(() => skipValue(cut, 0, length), ProtocolError);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("random bytes give a value or a decode error, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (array) => {
        for (const read of [decode, decodeTyped]) {
          try {
            read(Buffer.from(array));
          } catch (error) {
            assert.ok(error instanceof ProtocolError, String(error));
          }
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test("codes outside the specification are refused", () => {
    for (const code of [0x01, 0x3f, 0x46, 0x57, 0x62, 0x75, 0x85, 0x99, 0xa2, 0xb2, 0xc2, 0xe1, 0xff]) refused(Buffer.from([code, 0, 0, 0]), /format code/);
  });

  test("nesting is bounded, in lists, descriptors and arrays", () => {
    let list = encode([]);
    for (let i = 0; i < 40; i++) list = encode([new Raw(list)]);
    refused(list, /nested/);
    refused(Buffer.alloc(100_000, 0x00), /nested|whole/);
    assert.throws(() => skipValue(Buffer.alloc(100_000, 0x00), 0, 100_000), ProtocolError);
    refused(Buffer.concat([hex("f0 00010000 00000001"), Buffer.alloc(0x10000 - 4, 0x00)]), /nested/);
    refused(Buffer.concat([hex("f0 00010000 00000001"), Buffer.alloc(0x10000 - 4, 0xe0)]), /compound|whole|nested|elements/);
  });

  test("elements without bytes cannot make an array without bounds", () => {
    refused(hex("f0 00000005 ffffffff 40"), /at most 262144 elements/);
    refused(hex("f0 00000005 00040001 43"), /at most 262144 elements/);
    refused(hex("f0 00000005 00000101 41"), /at most 256 elements of no width/);
    refused(hex("f0 00000008 00000101 00 5301 45"), /at most 256 elements of no width/);
    assert.equal((decode(hex("f0 00000005 00000100 44")) as readonly number[]).length, 256);
  });

  test("arrays of every element code of no width, and of described elements, are read", () => {
    for (const [code, value] of [
      ["40", null],
      ["41", true],
      ["42", false],
      ["43", 0],
      ["44", 0],
    ] as const)
      assert.deepEqual(decode(hex(`e0 02 03 ${code}`)), [value, value, value]);
    assert.deepEqual(decode(hex("e0 02 02 45")), [[], []]);
    assert.deepEqual(decode(hex("e0 08 02 00 a3 01 61 50 07 08")), [new Described("a", 7), new Described("a", 8)]);
    assert.deepEqual(decode(hex("e0 02 00 50")), []);
  });

  test("symbols that are not ASCII are refused", () => {
    refused(hex("a3 02 61 80"), /ASCII/);
    refused(hex("b3 00000002 ff 61"), /ASCII/);
  });

  test("strings that are not UTF-8 are read as far as they are", () => {
    assert.equal(decode(hex("a1 03 61 ff 62")), "a\ufffdb");
  });

  test("a size that disagrees with its elements is refused", () => {
    refused(hex("c0 02 02 43"), /whole/);
    refused(hex("c0 03 01 43 43"), /compound/);
    refused(hex("c1 02 01 43"), /keys/);
    refused(hex("43 43"), /one value/);
  });

  test("values outside their type are refused", () => {
    refused(hex("56 02"), /boolean/);
    refused(hex("73 0000d800"), /char/);
    refused(hex("73 00110000"), /char/);
  });
});

describe("a map as a view", () => {
  const view = (value: Encodable): MapView => {
    const padded = Buffer.concat([hex("ffff"), encode(value), hex("ffff")]);
    return new MapView(padded, 2, padded.length - 2);
  };

  test("looks entries up by string or symbol without decoding the others", () => {
    const text = (value: string): TypedValue => new Typed("string", value);
    const map = view(
      new Typed("map", [
        [symbol("one"), int(1)],
        [text("two"), text("zwei")],
        [int(5), text("five")],
        [text("größe"), int(3)],
        [text("one!"), int(4)],
        [text(""), int(0)],
        [text("two"), text("again")],
      ]),
    );
    assert.equal(map.size, 7);
    assert.equal(map.get("one"), 1);
    assert.equal(map.string("two"), "zwei");
    assert.equal(map.number("größe"), 3);
    assert.equal(map.number(""), 0);
    assert.equal(map.get("five"), undefined);
    assert.equal(map.has("on"), false);
    assert.equal(map.string("one"), undefined);
    assert.deepEqual(decodeTyped(Buffer.from(map.view("one!")!.raw().bytes)), int(4));
    assert.equal(map.toMap().get("two"), "again");
    assert.deepEqual(map.view("one")!.typed(), int(1));
  });

  test("finds every key of any map, in long and short form", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "grapheme" }), fc.integer(), { maxKeys: 80 }), (object) => {
        const map = view(Object.entries(object).length === 0 ? {} : new Map(Object.entries(object)));
        for (const [key, value] of Object.entries(object)) assert.equal(map.get(key), value);
      }),
    );
  });

  test("refuses what is no map, and entries that are cut", () => {
    assert.throws(() => view([1]), ProtocolError);
    const bytes = hex("c1 05 02 a1 01 61 a1");
    assert.throws(() => new MapView(bytes, 0, bytes.length).get("a"), ProtocolError);
    assert.throws(() => new MapView(hex("d1 00000004 fffffffe"), 0, 9).get("a"), ProtocolError);
  });

  test("tells whether its entries fill it, and where each begins", () => {
    const map = view(
      new Map<Encodable, Encodable>([
        ["a", 1],
        [symbol("b"), new Map([["c", 2]])],
      ]),
    );
    const places: number[] = [];
    map.forEach((_key, _value, at) => places.push(at));
    assert.deepEqual(places, [5, 10]);
    map.checkEntries();
    assert.throws(() => map.checkEntries("strings"), /strings/);
    const loose = (bytes: string): MapView => new MapView(hex(bytes), 0, bytes.replaceAll(" ", "").length / 2);
    assert.throws(() => loose("c1 06 02 a1 01 61 43 43").checkEntries(), /1 bytes after/);
    assert.throws(() => loose("c1 05 02 a1 01 61 a1").checkEntries(), ProtocolError);
  });

  test("holds a map that is the value of an entry", () => {
    const map = view({ inner: { n: 7 }, text: "t" });
    assert.equal(map.view("inner")?.asMap()?.get("n"), 7);
    assert.equal(map.view("text")?.asMap(), undefined);
  });
});

test("a list's fields are stepped over to its end", () => {
  const fields = (bytes: string): FieldReader => new FieldReader().open(hex(bytes), 0, bytes.replaceAll(" ", "").length / 2);
  const whole = fields("c0 04 03 43 40 43");
  assert.equal(whole.uint(9), 0);
  assert.equal(whole.left, 2);
  whole.checkRest();
  assert.equal(whole.left, 0);
  assert.throws(() => fields("c0 05 03 43 40 43 43").checkRest(), /1 bytes after/);
  assert.throws(() => fields("c0 03 03 43 40").checkRest(), ProtocolError);
});
