import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { ByteBudget } from "#runtime/policy/byte-budget.ts";
import { IncomingBytes, stepBytes } from "#runtime/policy/incoming-bytes.ts";

const mb = 1024 * 1024;

function scene(budgetBytes: number, copies = 1): { readonly budget: ByteBudget; readonly incoming: IncomingBytes<string> } {
  const budget = new ByteBudget(budgetBytes);
  return { budget, incoming: new IncomingBytes(budget, copies) };
}

describe("bytes on their way", () => {
  test("may be what is left of the budget, as often as a message will count there, and as the part of the link is", () => {
    const { budget, incoming } = scene(32 * mb, 2);
    assert.equal(incoming.room("a", 0, 1), 16 * mb);
    budget.took(8 * mb);
    assert.equal(incoming.room("a", 0, 1), 12 * mb);
    assert.equal(incoming.room("a", 0, 0.25), 3 * mb);
  });

  test("may be a step for a link with hardly any credit, and nothing at all once the budget is used up", () => {
    const { budget, incoming } = scene(32 * mb);
    assert.equal(incoming.room("idle", 0, 0.001), stepBytes);
    budget.took(32 * mb - 1);
    assert.equal(incoming.room("idle", 0, 0.001), stepBytes);
    budget.took(1);
    assert.equal(incoming.room("idle", 0, 1), 0);
    assert.equal(incoming.room("idle", 5 * mb, 1), 0);
  });

  test("may be less than a step for each of so many links that their steps would use the budget up, but never less than a frame", () => {
    const { budget, incoming } = scene(64 * mb, 2);
    assert.deepEqual(
      [1, 32, 64, 1_000].map((links) => incoming.stepOf(links)),
      [stepBytes, stepBytes, 128 * 1024, 64 * 1024],
    );
    assert.equal(incoming.room("a", 0, 0.0001, incoming.stepOf(1_000)), 64 * 1024);
    budget.took(64 * mb);
    assert.equal(incoming.room("a", 0, 0.0001, incoming.stepOf(1_000)), 0);
  });

  test("go on of a message of a link with hardly any credit for as long as anything is left, beside what others hold", () => {
    const { budget, incoming } = scene(32 * mb);
    budget.took(8 * mb);
    assert.equal(incoming.room("idle", stepBytes, 0.001), 2 * stepBytes);
    assert.equal(incoming.room("idle", 20 * mb, 0.001), 20 * mb + stepBytes);
    assert.equal(incoming.room("idle", 24 * mb - 1, 0.001), 24 * mb);
  });

  test("count that have come of the message of another link", () => {
    const { incoming } = scene(32 * mb);
    incoming.room("a", 10 * mb, 0.5);
    assert.equal(incoming.room("b", 0, 1), 22 * mb);
    incoming.room("a", 12 * mb, 0.5);
    assert.equal(incoming.room("b", 0, 1), 20 * mb);
    incoming.whole("a");
    assert.equal(incoming.room("b", 0, 1), 32 * mb);
  });

  test("go on step by step of one message that is larger than all, while nothing else is held", () => {
    const { budget, incoming } = scene(mb);
    assert.equal(incoming.room("a", 3 * mb, 1), 3 * mb + stepBytes);
    budget.took(1);
    assert.equal(incoming.room("a", 3 * mb, 1), mb - 1);
    budget.took(mb);
    assert.equal(incoming.room("a", 3 * mb, 1), 0);
  });

  test("go on of the message that began first where two are too large", () => {
    const { incoming } = scene(mb);
    incoming.room("a", 2 * mb, 0.5);
    assert.equal(incoming.room("b", 3 * mb, 0.5), 0);
    assert.equal(incoming.room("a", 2 * mb, 0.5), 2 * mb + stepBytes);
    incoming.whole("a");
    assert.equal(incoming.room("b", 3 * mb, 0.5), 3 * mb + stepBytes);
  });

  test("never bring more than one step a link beyond the budget or the largest message, and all come, whatever their sizes", () => {
    const message = fc.record({ link: fc.nat(3), bytes: fc.oneof(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: mb / 2, max: 6 * mb })) });
    fc.assert(
      fc.property(
        fc.integer({ min: mb / 4, max: 8 * mb }),
        fc.array(message, { minLength: 1, maxLength: 60 }),
        fc.infiniteStream(fc.nat(99)),
        (budgetBytes, sent, chance) => {
          const { budget, incoming } = scene(budgetBytes);
          const links = [0, 1, 2, 3].map((link) => ({ queue: sent.filter((each) => each.link === link).map(({ bytes }) => bytes), window: 0, arriving: 0 }));
          const incomingOf = new IncomingBytes<object>(budget, 1);
          const held: number[] = [];
          const largest = Math.max(...sent.map(({ bytes }) => bytes));
          let served = 0;
          for (let turn = 0; served < sent.length; turn += 1) {
            assert.ok(turn < 50_000, `expected all to come, found ${served} of ${sent.length}`);
            const link = links[chance.next().value! % 4]!;
            link.window = Math.max(link.window, incomingOf.room(link, link.arriving, 0.25) - link.arriving);
            for (let next = link.queue[0]; next !== undefined && link.window > 0; next = link.queue[0]) {
              const bytes = Math.min(link.window, next - link.arriving);
              link.window -= bytes;
              link.arriving += bytes;
              if (link.arriving < next) break;
              link.queue.shift();
              link.arriving = 0;
              incomingOf.whole(link);
              budget.took(next);
              held.push(next);
            }
            const bytes = budget.heldBytes + links.reduce((sum, { arriving }) => sum + arriving, 0);
            assert.ok(bytes <= budgetBytes + largest + 4 * Math.max(stepBytes, budgetBytes / 4), `${bytes} of ${budgetBytes}, the largest ${largest}`);
            if (held.length > 0 && chance.next().value! < 30) {
              budget.gave(held.shift()!);
              served += 1;
            }
          }
          assert.equal(incoming.room("other", 0, 1), budgetBytes);
        },
      ),
      { numRuns: 100 },
    );
  });
});
