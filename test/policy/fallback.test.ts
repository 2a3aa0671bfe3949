import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import type { StepQuality } from "#runtime/core/run.ts";
import { Qualities, nextFallback, worseQuality } from "#runtime/policy/fallback.ts";

const chains = fc.array(fc.record({ whenUnknown: fc.option(fc.boolean(), { nil: undefined }), accepts: fc.boolean() }), { maxLength: 10 });

test("the first in order that the outcome allows and that accepts the failure answers; none before it was fit", () => {
  fc.assert(
    fc.property(chains, fc.nat(10), fc.boolean(), (chain, from, isDefinite) => {
      const fit = (place: number): boolean => {
        const rule = chain[place];
        return rule !== undefined && rule.accepts && (isDefinite || rule.whenUnknown === true);
      };
      const place = nextFallback(chain, from, isDefinite, (number) => chain[number]?.accepts === true);
      const expected = chain.findIndex((_, number) => number >= from && fit(number));
      assert.equal(place ?? -1, expected);
    }),
  );
});

test("a fallback that the outcome excludes is not asked for its condition", () => {
  const asked: number[] = [];
  const rules = [{}, { whenUnknown: true }, { whenUnknown: true }];
  const accepts = (place: number): boolean => asked.push(place) > 1;
  assert.equal(nextFallback(rules, 0, false, accepts), 2);
  assert.deepEqual(asked, [1, 2]);
});

test("the conditions of fallbacks past the last one are asked of nobody", () => {
  const asked: number[] = [];
  const accepts = (place: number): boolean => {
    asked.push(place);
    return place > 1;
  };
  assert.equal(nextFallback([{}, {}], 0, true, accepts), undefined);
  assert.deepEqual(asked, [0, 1]);
  assert.equal(nextFallback([{}, {}], 2, false, accepts), undefined);
});

test("what depends on all steps of a run is as good as the worst of them, and each keeps its own quality", () => {
  const qualities = new Qualities();
  assert.deepEqual([qualities.worst, qualities.of("ask")], ["full", "full"]);
  qualities.keep("ask", "degraded");
  qualities.keep("look", "cached");
  assert.deepEqual([qualities.worst, qualities.of("ask"), qualities.of("look"), qualities.of("send")], ["degraded", "degraded", "cached", "full"]);
  qualities.keep("send", "template");
  assert.equal(qualities.worst, "template");
});

test("the worse of two qualities does not depend on their order, and full changes nothing", () => {
  const quality = fc.constantFrom<StepQuality>("full", "cached", "degraded", "template");
  fc.assert(
    fc.property(quality, quality, quality, (one, two, three) => {
      assert.equal(worseQuality(one, two), worseQuality(two, one));
      assert.equal(worseQuality(worseQuality(one, two), three), worseQuality(one, worseQuality(two, three)));
      assert.equal(worseQuality(one, "full"), one);
      assert.equal(worseQuality(one, "template"), "template");
    }),
  );
  assert.equal(worseQuality("cached", "degraded"), "degraded");
});
