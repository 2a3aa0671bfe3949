import { strict as assert } from "node:assert";
import { Duplex } from "node:stream";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { accepted, modified, readDeliveryState, rejected, released } from "#runtime/amqp/message/delivery-state.ts";
import type { DeliveryState } from "#runtime/amqp/message/delivery-state.ts";
import { DeliveryTable } from "#runtime/amqp/link/delivery-table.ts";
import { describedValueAt } from "#runtime/amqp/codec/descriptors.ts";
import { FieldReader } from "#runtime/amqp/codec/fields.ts";
import { FrameReader } from "#runtime/amqp/frame/frames.ts";
import { Output } from "#runtime/amqp/frame/output.ts";
import { serialAdd, serialDistance } from "#runtime/amqp/codec/serial.ts";
import { DispositionBatch } from "#runtime/amqp/link/settlement.ts";
import { Disposition } from "#runtime/amqp/frame/transfers.ts";

interface Said {
  readonly first: number;
  readonly last: number;
  readonly settled: boolean;
  readonly state: string;
}

/** The dispositions that a batch writes. */
function said(batch: DispositionBatch): Said[] {
  const output = new Output();
  batch.write(output, 3);
  const lines: Said[] = [];
  const reader = new FrameReader(
    {
      onHeader: () => undefined,
      onFrame: (_type, _channel, bytes, start, end) => {
        const disposition = new Disposition();
        disposition.read(new FieldReader().open(bytes, describedValueAt(bytes, start, end), end));
        const { first, last, settled, stateStart, stateEnd } = disposition;
        lines.push({ first, last, settled, state: stateEnd > stateStart ? readDeliveryState(bytes, stateStart, stateEnd).key : "" });
      },
    },
    65_536,
  );
  reader.expect("frame");
  const sink = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      reader.push(chunk);
      done();
    },
  });
  output.flush(sink);
  return lines;
}

const states: readonly (DeliveryState | undefined)[] = [
  undefined,
  accepted,
  released,
  rejected({ condition: "a" }),
  rejected({ condition: "a" }),
  rejected({ condition: "b" }),
  modified({ deliveryFailed: true }),
];

describe("serial numbers", () => {
  test("follow RFC 1982 across the wrap", () => {
    assert.equal(serialAdd(0xffff_ffff, 1), 0);
    assert.equal(serialAdd(5, -6), 0xffff_ffff);
    assert.equal(serialDistance(0xffff_ffff, 0), 1);
    assert.equal(serialDistance(0, 0xffff_ffff), -1);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }), (serial, count) => {
        assert.equal(serialDistance(serial, serialAdd(serial, count)), count);
      }),
    );
  });
});

describe("dispositions of a tick", () => {
  test("never tell a delivery anything but what it was told, in any order, across the wrap", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.uniqueArray(fc.nat(60), { maxLength: 50 }),
        fc.array(fc.tuple(fc.constantFrom(...states), fc.boolean()), { minLength: 60, maxLength: 60 }),
        (base, offsets, told) => {
          const batch = new DispositionBatch(true);
          const expected = new Map<number, string>();
          for (const offset of offsets) {
            const [state, settled] = told[offset % 60]!;
            const id = serialAdd(base, offset);
            batch.add(id, state, settled);
            expected.set(id, `${settled} ${state?.key ?? ""}`);
          }
          const heard = new Map<number, string>();
          // As few as are true: a range begins only where the one before got something else, or nothing.
          const runs = [...expected].filter(([id, what]) => expected.get(serialAdd(id, -1)) !== what).length;
          const lines = said(batch);
          assert.equal(lines.length, runs);
          for (const { first, last, settled, state } of lines) {
            for (let id = first; ; id = serialAdd(id, 1)) {
              assert.ok(!heard.has(id), "told twice");
              heard.set(id, `${settled} ${state}`);
              if (id === last) break;
            }
          }
          assert.deepEqual(heard, expected);
          assert.equal(batch.isEmpty, true);
          assert.deepEqual(said(batch), []);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("two outcomes in the first two deliveries stay apart", () => {
    const batch = new DispositionBatch(true);
    batch.add(0, accepted, true);
    batch.add(1, rejected({ condition: "com.microsoft:dead-letter" }), true);
    assert.deepEqual(
      said(batch).map(({ first, last }) => [first, last]),
      [
        [0, 0],
        [1, 1],
      ],
    );
  });

  test("a thousand completes in random order are one range", () => {
    const batch = new DispositionBatch(true);
    const ids = Array.from({ length: 1_000 }, (_, index) => serialAdd(0xffff_ff00, index));
    for (let i = 0; i < ids.length; i++) batch.add(ids[(i * 617) % 1_000]!, accepted, false);
    assert.deepEqual(said(batch), [{ first: 0xffff_ff00, last: serialAdd(0xffff_ff00, 999), settled: false, state: accepted.key }]);
  });

  test("an unsettled state is told before the settlement", () => {
    const batch = new DispositionBatch(false);
    batch.add(9, accepted, true);
    batch.add(8, accepted, false);
    batch.add(8, accepted, true);
    assert.deepEqual(
      said(batch).map(({ first, last, settled }) => [first, last, settled]),
      [
        [8, 8, false],
        [8, 9, true],
      ],
    );
  });
});

describe("the table of unsettled deliveries", () => {
  test("agrees with a plain map, across the wrap, for ranges of any width", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("add" as const), offset: fc.nat(3_000) }),
      fc.record({ kind: fc.constant("delete" as const), offset: fc.nat(3_000) }),
      fc.record({ kind: fc.constant("range" as const), offset: fc.nat(3_000), width: fc.oneof(fc.nat(20), fc.nat(4_000), fc.nat(0x7fff_ffff)) }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), fc.array(step, { maxLength: 120 }), (base, steps) => {
        const table = new DeliveryTable<{ readonly id: number }>();
        const model = new Map<number, { readonly id: number }>();
        for (const step of steps) {
          const id = serialAdd(base, step.offset);
          if (step.kind === "add" && !model.has(id)) {
            model.set(id, { id });
            table.set(id, model.get(id)!);
          } else if (step.kind === "delete") {
            model.delete(id);
            table.delete(id);
          } else if (step.kind === "range") {
            const found: number[] = [];
            table.forRange(id, serialAdd(id, step.width), (item) => found.push(item.id));
            const inside = [...model.keys()].filter((key) => serialDistance(id, key) >= 0 && serialDistance(id, key) <= step.width);
            assert.deepEqual(
              found,
              inside.sort((a, b) => serialDistance(id, a) - serialDistance(id, b)),
            );
          }
          assert.equal(table.size, model.size);
          assert.equal(table.get(id), model.get(id));
        }
        let seen = 0;
        table.forEach((item) => (seen += model.has(item.id) ? 1 : 0));
        assert.equal(seen, model.size);
      }),
      { numRuns: 300 },
    );
  });

  test("a range of half the circle visits what is held without walking over the rest", () => {
    const table = new DeliveryTable<number>();
    for (const id of [5, 0x4000_0000, 0x7fff_0000]) table.set(id, id);
    const found: number[] = [];
    for (let i = 0; i < 2_000; i++) {
      found.length = 0;
      table.forRange(0, 0x7fff_ffff, (id) => found.push(id));
    }
    assert.deepEqual(found, [5, 0x4000_0000, 0x7fff_0000]);
    table.forRange(1, 0, () => assert.fail("a range that ends before it begins is empty"));
  });

  test("an id that comes round again takes the place of the one that was held all the while", () => {
    const table = new DeliveryTable<string>();
    table.set(7, "old");
    table.set(7, "new");
    assert.deepEqual([table.size, table.get(7)], [1, "new"]);
    table.delete(7);
    assert.deepEqual([table.size, table.get(7)], [0, undefined]);
  });

  test("a visit may delete what it visits and more", () => {
    const table = new DeliveryTable<number>();
    for (let id = 0; id < 1_000; id++) table.set(id, id);
    const found: number[] = [];
    table.forRange(0, 999, (id) => {
      found.push(id);
      table.delete(id);
      table.delete(id + 1);
    });
    assert.equal(table.size, 0);
    assert.equal(found.length, 500);
  });
});
