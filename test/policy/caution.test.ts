import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { Caution } from "#runtime/policy/caution.ts";

const calm = Number.POSITIVE_INFINITY;

describe("caution", () => {
  test("begins with four messages, and has no bound from 256 on", () => {
    const caution = new Caution();
    assert.equal(caution.window, 4);
    caution.passed(251);
    assert.equal(caution.window, 255);
    caution.passed(1);
    assert.equal(caution.window, calm);
    caution.passed(5);
    assert.equal(caution.window, calm);
  });

  test("begins without a bound where it is to be calm at once", () => {
    assert.equal(new Caution(1).window, calm);
    assert.equal(new Caution(4).window, calm);
    assert.equal(new Caution(5).window, 4);
  });

  test("takes one message at a time once a suspect is found, and tells of the first of a series alone", () => {
    const caution = new Caution(8);
    assert.deepEqual([caution.alarm(), caution.window], [true, 1]);
    caution.passed(3);
    assert.deepEqual([caution.alarm(), caution.window], [false, 4]);
    caution.passed(4);
    assert.deepEqual([caution.window, caution.alarm(), caution.window], [calm, true, 1]);
  });

  test("is calm when as much has proved harmless as its bound wants, and never before", () => {
    fc.assert(
      fc.property(fc.integer({ min: 5, max: 500 }), fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 40 }), (calmAt, passed) => {
        const caution = new Caution(calmAt);
        assert.ok(caution.alarm());
        let window = 1;
        for (const count of passed) {
          caution.passed(count);
          window += count;
          assert.equal(caution.window, window >= calmAt ? calm : window);
          if (window >= calmAt) return;
        }
      }),
    );
  });
});
