import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { ArrivalMix } from "#runtime/policy/arrival-mix.ts";

function arrivals(count: number, kind: number): number[] {
  return Array.from({ length: count }, () => kind);
}

function after(kinds: number, came: readonly number[]): ArrivalMix {
  const mix = new ArrivalMix(kinds);
  for (const kind of came) mix.came(kind);
  return mix;
}

describe("the mix of what comes", () => {
  test("is unknown at first: everything may be of any one kind", () => {
    const mix = new ArrivalMix(3);
    assert.deepEqual(
      [0, 1, 2].map((kind) => mix.messagesFor(kind, 12)),
      [12, 12, 12],
    );
  });

  test("lets a kind that does not come hold up few of the others", () => {
    const mix = after(2, arrivals(4_000, 0));
    assert.equal(mix.messagesFor(0, 1_000), 1_000);
    assert.equal(mix.messagesFor(1, 4), 2_004);
    // However many have come.
    const later = after(2, arrivals(100_000, 0));
    assert.ok(later.messagesFor(1, 4) >= 3_000, String(later.messagesFor(1, 4)));
  });

  test("is what came lately", () => {
    const mix = after(2, [...arrivals(20_000, 0), ...arrivals(20_000, 1)]);
    assert.ok(mix.share(1) > 0.85, String(mix.share(1)));
    assert.ok(mix.share(0) < 0.15, String(mix.share(0)));
  });

  test("counts a long line of arrivals in a bounded memory", () => {
    const mix = after(2, arrivals(8_191, 0));
    const before = mix.share(1);
    mix.came(0);
    assert.equal(mix.share(0), 1);
    assert.equal(mix.share(1), 8 / (6_144 + 8));
    assert.ok(before < mix.share(1));
  });

  test("asks for nothing on behalf of a kind that has no room", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 200 }), fc.integer({ min: -50, max: 0 }), (came, room) => {
        const mix = after(4, came);
        for (const kind of [0, 1, 2, 3]) assert.equal(mix.messagesFor(kind, room), room);
      }),
    );
  });

  test("never brings more of a kind than it has room for, if it goes on as it came", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { minLength: 1, maxLength: 5_000 }), fc.integer({ min: 1, max: 10_000 }), (came, room) => {
        const mix = after(4, came);
        for (const kind of [0, 1, 2, 3]) {
          const asked = mix.messagesFor(kind, room);
          assert.ok(asked >= room);
          assert.ok(asked * mix.share(kind) <= room + 1e-6);
          assert.ok(mix.share(kind) > 0 && mix.share(kind) <= 1);
        }
      }),
    );
  });
});
