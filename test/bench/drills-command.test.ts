// What a drill prints when it is broken, and what it does after one of its parts broke off.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { killCommand } from "../../bench/drills/kill/command.ts";
import { faults } from "../../bench/drills/faults/faults.ts";
import { calmSince, run } from "../../bench/drills/faults/run.ts";
import { repeatOf } from "../../bench/drills/repeat.ts";
import { debugCommand } from "../../bench/drills/debug/command.ts";

test("the line that repeats a drill has all that it went by, defaults too, and not how it printed", () => {
  const command = killCommand();
  command.parseOptions(["--kills", "5", "--transport", "sdk"]);
  assert.equal(repeatOf(command), "npm run drill -- kill --kills 5 --events 20000 --workers 3 --seed 1 --transport sdk");
  const debug = debugCommand();
  debug.parseOptions(["--json", "--seed", "4"]);
  assert.equal(repeatOf(debug), "npm run drill -- debug --seconds 12 --kills 2 --letters 5 --seed 4");
});

test("a fault whose run breaks off is broken, and the next one has its turn", async (t) => {
  const lines: string[] = [];
  t.mock.method(console, "log", (line: string) => lines.push(line));
  const only = faults.slice(0, 2).map(({ name }) => name);
  const tried: string[] = [];
  const code = await run({ only, workers: 2, rate: 60, seed: 7 }, async ({ name }) => {
    tried.push(name);
    throw new Error("the broker did not answer");
  });
  assert.deepEqual({ code, tried }, { code: 1, tried: only });
  const printed = lines.join("\n");
  assert.match(printed, /BROKEN redis-killed/);
  assert.match(printed, /it broke off, so nothing was judged: the broker did not answer/);
  assert.match(printed, /repeat with: npm run drill -- faults --only redis-frozen --workers 2 --rate 60 --seed 7/);
  assert.match(printed, /2 faults, 2 broken/);
});

test("a fault strikes once the rate before it is whole: after one of none, any rate would count as back", async () => {
  const found = [1, 47, 48];
  const calm = calmSince({ name: "redis-killed" }, { perSecond: () => found.shift() ?? 60 }, 60, 1);
  await calm;
  assert.deepEqual(found, []);
});
