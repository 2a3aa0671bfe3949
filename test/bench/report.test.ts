// What the benches compute and print of their samples, and what the command says to bad options.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { describe, test } from "node:test";
import { sharesOf } from "../../bench/cold/first-seconds.ts";
import { figureText, median, ratio } from "../../bench/support/figures.ts";
import { interleave } from "../../bench/support/rounds.ts";
import { isMet, targetRow } from "../../bench/support/target.ts";
import { slopeOf } from "../../bench/soak/slope.ts";
import { Wishes } from "../../bench/settlement/wishes.ts";

const main = resolve(import.meta.dirname, "../../bench/main.ts");

function bench(...parameters: readonly string[]): { readonly status: number | null; readonly out: string; readonly error: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...parameters], { encoding: "utf8" });
  return { status, out: stdout, error: stderr };
}

describe("figures", () => {
  test("are told as the median with the range", () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.equal(figureText({ samples: [3, 1, 2], digits: 1 }), "2.0 (1.0–3.0)");
    assert.equal(figureText({ samples: [12_345.6], digits: 0 }), "12,346");
    assert.equal(figureText({ samples: [], digits: 0 }), "–");
  });

  test("are compared round by round", () => {
    assert.deepEqual(ratio({ samples: [40, 90], digits: 1 }, { samples: [4, 3], digits: 1 }, 1).samples, [10, 30]);
  });

  test("are held to targets by their median", () => {
    const found = { samples: [4, 5, 9], digits: 0 };
    const target = { what: "cost", found, unit: "µs" };
    assert.deepEqual(
      [4, 5].map((atMost) => isMet({ ...target, bound: { atMost } })),
      [false, true],
    );
    assert.deepEqual(
      [5, 6].map((below) => isMet({ ...target, bound: { below } })),
      [false, true],
    );
    assert.deepEqual(
      [5, 6].map((atLeast) => isMet({ ...target, bound: { atLeast } })),
      [true, false],
    );
    assert.deepEqual(targetRow({ ...target, bound: { atMost: 4 }, aim: 3 }), ["cost", "at most 4, aim 3 µs", "5 (4–9) µs", "MISSED"]);
  });

  test("of a growing memory give its slope", () => {
    assert.equal(
      slopeOf([
        [0, 5],
        [10, 7],
        [20, 9],
      ]),
      0.2,
    );
    assert.equal(
      slopeOf([
        [0, 5],
        [10, 6],
        [20, 5],
      ]),
      0,
    );
  });
});

test("contenders take turns, and the first round is dropped", async () => {
  const turns: string[] = [];
  const samples = await interleave([{ name: "a" }, { name: "b" }], 2, ({ name }, isWarmUp) => {
    turns.push(`${name}${isWarmUp ? " warming up" : ""}`);
    return Promise.resolve(turns.length);
  });
  assert.deepEqual(turns, ["a warming up", "b warming up", "a", "b", "a", "b"]);
  assert.deepEqual(
    [...samples],
    [
      ["a", [3, 5]],
      ["b", [4, 6]],
    ],
  );
});

test("a message that ended otherwise than it was settled is counted as wrong, and one without a record too", () => {
  const wishes = new Wishes(1);
  const ids = Array.from({ length: 50 }, (_, index) => `${index}`);
  const records = { complete: ["completed"], "dead-letter": ["deadLettered"], defer: ["deferred"], abandon: ["abandoned", "delivered", "completed"] };
  const outcomes = new Map(ids.map((id) => [id, ["accepted", "delivered", ...records[wishes.next(id)]]]));
  assert.equal(wishes.wrongIn(outcomes, ids.length), 0);
  outcomes.set("7", ["accepted", "delivered", "expired"]);
  outcomes.delete("8");
  assert.equal(wishes.wrongIn(outcomes, ids.length), 2);
  assert.equal(wishes.next("9"), "complete", "what was abandoned is completed when it comes again");
});

describe("the bench command", () => {
  test("lists the benches in a line each", () => {
    const { status, out } = bench();
    assert.equal(status, 0);
    for (const name of ["quick", "transport", "settlement", "soak", "broker", "amqp", "store", "dispatch"])
      assert.match(out, new RegExp(`^  ${name} +\\S.*$`, "m"));
  });

  test("explains a bench with its options, units and defaults", () => {
    const { status, out } = bench("transport", "--help");
    assert.equal(status, 0);
    assert.match(out, /sdk-batches +the SDK: receiveMessages/);
    assert.match(out, /--body <bytes> +size of a message's body \(default: 256\)/);
  });

  test("answers what it does not know in one line", () => {
    for (const parameters of [
      ["no-such"],
      ["transport", "--rounds", "none"],
      ["transport", "--only", "nobody"],
      ["quick", "--transport", "pigeon"],
      ["store", "--no-such"],
      ["store", "much"],
    ]) {
      const { status, out, error } = bench(...parameters);
      assert.deepEqual([status, out, error.trimEnd().split("\n").length], [2, "", 1], `${parameters.join(" ")}: ${error}`);
      assert.match(error, /^error: /);
    }
  });
});

test("first seconds are parts of what ends in a second later on, without the last tenth, which ends slowly", () => {
  assert.deepEqual(sharesOf([500, 900, 1_100, 1_000, 900, 1_100, 1_000, 400, 20, 3]), { first: 0.5, third: 1.1, steadyPerSecond: 1_000 });
  assert.deepEqual(sharesOf([300, 600]), { first: 0.5, third: 0, steadyPerSecond: 600 });
});
