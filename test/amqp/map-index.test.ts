import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { encode } from "#runtime/amqp/codec/encode.ts";
import { MapIndex } from "#runtime/amqp/codec/map-index.ts";
import { Typed, timestamp } from "#runtime/amqp/codec/types.ts";
import type { TypedValue } from "#runtime/amqp/codec/types.ts";
import { MapView } from "#runtime/amqp/codec/views.ts";
import { typedValue } from "./support/arbitraries.ts";

const names = ["eventId", "eventType", "version", "trace", "ä", "x-opt-enqueued-time", ""];

const keys: fc.Arbitrary<TypedValue> = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...names).map((name) => new Typed("string", name)) },
  { weight: 2, arbitrary: fc.constantFrom("eventId", "version").map((name) => new Typed("symbol", name)) },
  { weight: 1, arbitrary: typedValue },
);
const texts = fc.constantFrom("OrderPlaced", "1.0", "", "ä", "x".repeat(100)).map((text) => new Typed("string", text));
const values: fc.Arbitrary<TypedValue> = fc.oneof(texts, texts, typedValue);

function mapOf(entries: readonly (readonly [TypedValue, TypedValue])[]): Buffer {
  return encode(new Typed("map", entries));
}

describe("an index of maps", () => {
  test("finds what a view of each finds, whichever layouts follow one another", () => {
    const layouts = fc.array(fc.array(keys, { maxLength: 9 }), { minLength: 1, maxLength: 6 });
    const picked = fc.array(fc.record({ layout: fc.nat({ max: 5 }), values: fc.array(values, { minLength: 9, maxLength: 9 }) }), {
      minLength: 1,
      maxLength: 20,
    });
    fc.assert(
      fc.property(layouts, picked, (known, messages) => {
        const index = new MapIndex();
        for (const message of messages) {
          const layout = known[message.layout % known.length] ?? [];
          const bytes = mapOf(layout.map((key, place) => [key, message.values[place]!] as const));
          const view = new MapView(bytes, 0, bytes.length);
          assert.equal(index.open(bytes, 0, bytes.length), true);
          for (const name of [...names, "absent"]) {
            assert.deepEqual(index.get(name), view.get(name), name);
            assert.deepEqual(index.timeMs(name), view.timeMs(name), name);
          }
        }
      }),
    );
  });

  test("tells the texts of each map, also where they are those of the one before", () => {
    const index = new MapIndex();
    const text = (value: string): TypedValue => new Typed("string", value);
    for (const [id, at] of [
      ["1", 1],
      ["2", 2],
      ["2", 3],
    ] as const) {
      const bytes = mapOf([
        [text("eventId"), text(id)],
        [text("eventType"), text("OrderPlaced")],
        [text("at"), timestamp(at)],
      ]);
      assert.equal(index.open(bytes, 0, bytes.length), true);
      assert.deepEqual([index.get("eventId"), index.get("eventType"), index.timeMs("at"), index.timeMs("eventId")], [id, "OrderPlaced", at, undefined]);
    }
  });

  test("leaves a map with very many entries to a view", () => {
    const bytes = mapOf(Array.from({ length: 65 }, (_, number) => [new Typed("string", `key ${number}`), new Typed("boolean", true)] as const));
    assert.equal(new MapIndex().open(bytes, 0, bytes.length), false);
  });

  test("refuses what is no map", () => {
    const bytes = encode("text");
    assert.throws(() => new MapIndex().open(bytes, 0, bytes.length), /expected a map/);
  });
});
