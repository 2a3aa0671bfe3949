// The story of one event, told from its record, the queues and the workers' logs.
import { strict as assert } from "node:assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { marks, release, runsScene } from "../support/runs-scene.ts";
import { storesTried } from "../support/long.ts";

interface Story {
  readonly state: string;
  readonly skill: string;
  readonly eventType: string;
  readonly story: readonly { readonly at: string; readonly source: string; readonly text: string }[];
  readonly now: string;
  readonly until: string | null;
  readonly isStuck: boolean;
}

let redis: RedisServer;
before(async () => void (redis = await startRedis()));
after(() => redis.stop());

/** Source and beginning of each moment, in order. */
function toldBy({ story }: Story, source?: string): readonly string[] {
  return story.filter((one) => source === undefined || one.source === source).map(({ text }) => text);
}

for (const kind of storesTried) {
  describe(`a story with records in ${kind}`, () => {
    const store = (): unknown => (kind === "sqlite" ? { kind, path: "runs.sqlite" } : { kind, url: redis.url });

    test("says why an event waits and until when: for a retry, for a circuit before its claim, for a step on its way, and for nothing", async (t) => {
      const { bench, worker, runs, json } = await runsScene(t, { store: store() });
      const storyOf = async (eventId: string, ...more: readonly string[]): Promise<Story> => (await json("explain", eventId, ...more)) as Story;
      await bench.send("late-1", {}, "Failed");
      await bench.send("dead-1", { forGood: true }, "Failed");
      await bench.send("open-1", { order: 1 });
      await bench.send("bank-1", {}, "Banked");
      await eventually("the circuit to open", () => worker.events("circuit.changed").length > 0, 30_000);
      await bench.send("bank-2", {}, "Banked");
      const scheduled = (): number => bench.broker.inspect().queues["input"]?.states.scheduled ?? 0;
      await eventually("three to be scheduled", () => scheduled() === 3, 30_000);
      await eventually("one to be dead-lettered", () => bench.broker.inspect().queues["input"]?.totals.deadLettered === 1);
      await eventually("one to be in its second step", () => marks(bench, "paying").length === 1);

      const late = await storyOf("late-1");
      assert.deepEqual([late.state, late.skill, late.eventType, late.isStuck], ["waiting", "failing", "Failed", false]);
      assert.match(late.now, /^waits since 'BANK_CLOSED' \(1 step done;.*its next message is scheduled in input, for BANK_CLOSED$/);
      const inMs = Date.parse(late.until ?? "") - Date.now();
      assert.ok(inMs > 20_000 && inMs <= 61_000, `due in ${inMs} ms`);
      const [enqueued, begin, failed, due] = toldBy(late);
      assert.match(enqueued ?? "", /^enqueued for the first time$/);
      assert.match(begin ?? "", /^step begin: completed, \d+ bytes, full$/);
      assert.match(failed ?? "", /^failed for BANK_CLOSED \(attempt 1; to return after 60 s; by .*\): the bank is closed/);
      assert.match(due ?? "", /^due: message late-1~.* sequence number \d+ of input, for BANK_CLOSED$/);

      const first = await storyOf("bank-1");
      assert.match(toldBy(first, "record").join("\n"), /failed for HTTP_503 \(attempt 1; calls: bank failed; /);
      const shut = await storyOf("bank-2");
      assert.deepEqual([shut.state, shut.eventType], ["no record", "Banked"]);
      assert.match(shut.now, /^not claimed yet; its next message is scheduled in input, for circuit-open bank$/);
      assert.ok(Date.parse(shut.until ?? "") > Date.now() + 500_000, String(shut.until));
      assert.match(toldBy(shut, "queue").join("\n"), /for circuit-open bank, postponed 1 time/);

      const open = await storyOf("open-1");
      assert.match(open.now, /^claimed by .+, in step pay, or about to begin it \(1 of 3 steps done\)$/);
      assert.ok(Date.parse(open.until ?? "") > Date.now(), String(open.until));

      const dead = await storyOf("dead-1");
      assert.deepEqual([dead.isStuck, dead.until], [true, null]);
      assert.match(dead.now, /^given up as REFUSED .*its dead letter lies in input\/\$DeadLetterQueue: nothing carries it on before a replay$/);
      assert.match(toldBy(dead).join("\n"), /given up for REFUSED \(attempt 1; by .*given up as REFUSED in attempt 1 \(failure [0-9a-f]{16}\)/s);
      assert.match(toldBy(dead, "dead letter").join("\n"), /^dead-lettered as REFUSED \(attempt 1; sequence number \d+ of input\/\$DeadLetterQueue\)/);

      const log = join(bench.folder, "worker.jsonl");
      writeFileSync(log, worker.log());
      const logged = toldBy(await storyOf("late-1", "--log", log), "log");
      assert.match(logged.join("\n"), /^run\.retrying \(skill failing; attempt 1; delayMs 60000; code BANK_CLOSED; .*by .*\)$/m);
      writeFileSync(log, "12:00 INFO run.retrying\n");
      const pretty = await runs("explain", "late-1", "--log", log);
      assert.deepEqual([pretty.code, /expected JSON lines .* found 1 others/.test(pretty.stderr)], [2, true], pretty.stderr);

      release(bench, "paid-open-1");
      await eventually("the open one to be done", async () => (await storyOf("open-1")).now === "done: 3 of 3 steps done", 30_000);
      assert.match((await runs("explain", "open-1")).stdout, /^open-1, chained, Tried, done\n.*step reserve: completed.*\nnow: done: 3 of 3 steps done\n$/s);
      const unknown = await runs("explain", "open-l");
      assert.deepEqual([unknown.code, /did you mean 'open-1'\?/.test(unknown.stderr)], [1, true], unknown.stderr);
    });
  });
}
