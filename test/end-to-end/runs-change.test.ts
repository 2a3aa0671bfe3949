// Runs that a person calls off, lets go on, makes another one of, and deletes.
import { strict as assert } from "node:assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { marks, release, type RunsScene, runsScene } from "../support/runs-scene.ts";
import { storesTried } from "../support/long.ts";

let redis: RedisServer;
before(async () => void (redis = await startRedis()));
after(() => redis.stop());

interface Shown {
  readonly state: string;
  readonly reason?: string;
  readonly history: readonly { readonly kind: string; readonly reason: string; readonly eventId?: string; readonly who?: string }[];
  readonly steps: readonly { readonly name: string }[];
}

const shown = async ({ json }: RunsScene, eventId: string): Promise<Shown> => (await json("show", eventId)) as Shown;

/** Reasons of the dead letters of an event. */
function deadLetters({ bench }: RunsScene, eventId: string): readonly (string | null)[] {
  const page = bench.broker.inspectMessages("input/$DeadLetterQueue", { top: 100 });
  return (page?.messages ?? [])
    .filter(({ applicationProperties }) => applicationProperties["eventId"] === eventId)
    .map(({ deadLetterReason }) => deadLetterReason);
}

for (const kind of storesTried) {
  describe(`with records in ${kind}`, () => {
    const store = (): unknown => (kind === "sqlite" ? { kind, path: "runs.sqlite" } : { kind, url: redis.url });

    test(
      "a run that is cancelled stops at its next step boundary, a critical one is undone, and one that waits or was never claimed ends at once",
      { timeout: 120_000 },
      async (t) => {
        const scene = await runsScene(t, { store: store() });
        const { bench, worker, runs } = scene;
        const reason = ["--reason", "not wanted any more"];
        await bench.send("running");
        await bench.send("booked", {}, "Booked");
        await bench.send("late", {}, "Failed");
        await bench.send("bank-1", {}, "Banked");
        await eventually("the circuit to open", () => worker.events("circuit.changed").length > 0, 30_000);
        await bench.send("unclaimed", {}, "Banked");
        await eventually("three to be scheduled", () => bench.broker.inspect().queues["input"]?.states.scheduled === 3, 30_000);
        await eventually("two to be in their second steps", () => marks(bench, "paying").length + marks(bench, "confirming").length === 2, 30_000);

        const dry = await runs("cancel", "running", ...reason, "--dry-run");
        assert.match(dry.stdout, /^running: dry run: would have been told to stop at its next step boundary; its message is dead-lettered as Cancelled$/m);
        const answers = await Promise.all(["running", "booked", "late", "unclaimed"].map((eventId) => runs("cancel", eventId, ...reason)));
        for (const { code, stderr } of answers) assert.equal(code, 0, stderr);
        assert.match(answers[1]?.stdout ?? "", /its steps are compensated, then its message is dead-lettered/);
        release(bench, "paid-running");
        release(bench, "confirmed-booked");
        await eventually("both to be dead-lettered", () => deadLetters(scene, "running").length + deadLetters(scene, "booked").length === 2, 30_000);
        assert.deepEqual([deadLetters(scene, "running"), deadLetters(scene, "booked")], [["Cancelled"], ["Cancelled"]]);
        assert.deepEqual([marks(bench, "shipped"), marks(bench, "charged"), marks(bench, "undone")], [[], [], ["booked confirm", "booked room"]]);
        const running = await shown(scene, "running");
        assert.deepEqual([running.state, running.reason, running.steps.map(({ name }) => name)], ["dead", "Cancelled", ["reserve", "pay"]]);
        assert.deepEqual(
          running.history.map((entry) => [entry.kind, entry.reason]),
          [
            ["cancelled", "not wanted any more"],
            ["died", "Cancelled"],
          ],
        );
        for (const eventId of ["late", "unclaimed"])
          assert.deepEqual([(await shown(scene, eventId)).state, (await shown(scene, eventId)).reason], ["dead", "Cancelled"]);
        const again = await runs("cancel", "late", ...reason);
        assert.deepEqual(
          [again.code, /expected a run that is on its way, found that 'late' is dead \(Cancelled\)/.test(again.stderr)],
          [1, true],
          again.stderr,
        );
        const unknown = await runs("cancel", "lat", ...reason);
        assert.deepEqual([unknown.code, /did you mean 'late'\?/.test(unknown.stderr)], [1, true], unknown.stderr);
      },
    );

    test(
      "a run that was given up goes on from its dead letter, or from a file where that is gone; and is deleted once it has ended",
      { timeout: 120_000 },
      async (t) => {
        const scene = await runsScene(t, { store: store() });
        const { bench, holdfast, runs } = scene;
        for (const eventId of ["first", "second"]) await bench.send(eventId, { forGood: true }, "Failed");
        await eventually("both to be dead-lettered", () => deadLetters(scene, "first").length + deadLetters(scene, "second").length === 2, 30_000);
        const exported = await holdfast("dlq", "export", "--event", "second");
        const file = join(bench.folder, "second.json");
        writeFileSync(file, exported.stdout);
        const purged = await holdfast("dlq", "purge", "--event", "second", "--count", "1", "--reason", "by mistake");
        assert.equal(purged.code, 0, purged.stderr);
        release(bench, "mended");

        const first = await runs("resume", "first", "--reason", "the bank is open");
        assert.match(first.stdout, /^first: been replayed behind its last step, .*and is done$/m, first.stderr);
        const needed = await runs("resume", "second", "--reason", "as well");
        assert.deepEqual([needed.code, /the message is needed; name a file that holds it with --message/.test(needed.stderr)], [1, true], needed.stderr);
        const second = await runs("resume", "second", "--reason", "as well", "--message", file);
        assert.equal(second.code, 0, second.stderr);
        await eventually("both to have gone on", () => marks(bench, "mended-runs").length === 2, 30_000);
        await eventually("the second one to be done", async () => (await shown(scene, "second")).state === "done", 30_000);
        const kinds = (await shown(scene, "second")).history.map((entry) => entry.kind);
        assert.deepEqual(kinds, ["died", "closed", "revived"]);
        const done = await runs("resume", "first", "--reason", "once more");
        assert.deepEqual([done.code, /found that 'first' is done/.test(done.stderr)], [1, true], done.stderr);

        const unsure = await runs("delete", "first", "--reason", "tidying");
        assert.deepEqual([unsure.code, /expected --yes/.test(unsure.stderr)], [1, true], unsure.stderr);
        assert.equal((await runs("delete", "first", "--reason", "tidying", "--yes")).code, 0);
        assert.match((await runs("show", "first")).stderr, /expected a record of event 'first', found none/);
        await bench.send("live");
        await eventually("it to be in its second step", () => marks(bench, "paying").includes("live"), 30_000);
        const live = await runs("delete", "live", "--reason", "tidying", "--yes");
        assert.deepEqual([live.code, /found that 'live' is running; cancel it/.test(live.stderr)], [1, true], live.stderr);
      },
    );

    test("a parked run goes on by what somebody states of the step that nobody knew of, and tells who and why", { timeout: 120_000 }, async (t) => {
      const scene = await runsScene(t, { store: store() });
      const { bench, runs } = scene;
      const eventIds = ["paid", "unpaid", "many-1", "many-2"];
      for (const eventId of eventIds) await bench.send(eventId, {}, "Charged");
      await eventually("all to be parked", () => eventIds.every((eventId) => deadLetters(scene, eventId).length === 1), 30_000);
      const because = ["--reason", "the bank says so", "--by", "ada"];
      const wrong = await runs("release", "paid", "--done", "--step", "charged", ...because);
      assert.deepEqual([wrong.code, /did you mean 'charge'\?/.test(wrong.stderr)], [2, true], wrong.stderr);
      release(bench, "bank-answers");
      const paid = await runs("release", "paid", "--done", "--result", '{"receipt":"by phone"}', ...because);
      assert.match(paid.stdout, /^paid: been released: .*, and is done$/m, paid.stderr);
      const unpaid = await runs("release", "unpaid", "--not-done", ...because);
      assert.match(unpaid.stdout, /^unpaid: been released: its step charge counts as not done for ada; .*, and is done$/m, unpaid.stderr);
      assert.deepEqual(
        [marks(bench, "charging").toSorted(), marks(bench, "receipts")],
        [
          ["many-1", "many-2", "paid", "unpaid", "unpaid"],
          ["paid by phone", "unpaid from the bank"],
        ],
      );
      const kinds = (await shown(scene, "paid")).history.map((entry) => entry.kind);
      assert.deepEqual(kinds, ["died", "released", "revived"]);
      const { stdout } = await runs("explain", "paid");
      assert.match(stdout, /released by ada, who states that step charge was done: the bank says so$/m);

      const others = ["release", "--skill", "charging", "--step", "charge", "--not-done", ...because];
      const plan = await runs(...others, "--dry-run");
      assert.match(
        plan.stdout,
        /^dry run: 2 parked runs would be released, the step as not done; --count 2 does it\n[0-9a-f]{16}: 2 runs of skill charging, step charge$/m,
      );
      const [group = ""] = /[0-9a-f]{16}/.exec(plan.stdout) ?? [];
      const miscounted = await runs(...others, "--count", "3");
      assert.deepEqual([miscounted.code, /--count: .* found 3 where there are 2; nothing was changed/.test(miscounted.stderr)], [2, true], miscounted.stderr);
      const both = await runs("release", "--group", group.slice(0, 8), "--not-done", "--count", "2", ...because);
      assert.match(both.stdout, /^2 of 2 parked runs released by ada and done$/m, both.stderr);
      assert.deepEqual(marks(bench, "receipts").slice(2).toSorted(), ["many-1 from the bank", "many-2 from the bank"]);
      assert.partialDeepStrictEqual((await shown(scene, "many-2")).history.slice(1), [
        { kind: "released", who: "ada" },
        { kind: "revived", who: "ada", reason: "the bank says so" },
      ]);
    });

    test("a fork begins behind the step that is named, with another payload, and both runs tell of each other", { timeout: 120_000 }, async (t) => {
      const scene = await runsScene(t, { store: store() });
      const { bench, runs } = scene;
      for (const eventId of ["order-1", "order-2"]) release(bench, `paid-${eventId}`);
      await bench.send("order-1", { order: 1, refused: true });
      await eventually("it to be dead-lettered", () => deadLetters(scene, "order-1").length === 1, 30_000);
      const wrong = await runs("fork", "order-1", "--step", "reserved", "--reason", "another card");
      assert.deepEqual([wrong.code, /did you mean 'reserve'\?/.test(wrong.stderr)], [2, true], wrong.stderr);
      const args = ["fork", "order-1", "--step", "reserve", "--as", "order-2", "--patch", '{"refused":null,"order":2}', "--reason", "another card"];
      assert.equal((await runs(...args, "--dry-run")).code, 0);
      assert.equal((await runs("show", "order-2")).code, 1);
      const forked = await runs(...args);
      assert.match(forked.stdout, /^order-1: been forked as order-2, behind its step reserve \(1 step is taken over\), with another payload$/m, forked.stderr);
      await eventually("it to be done", async () => (await shown(scene, "order-2")).state === "done", 30_000);
      assert.deepEqual([marks(bench, "reserved"), marks(bench, "shipped")], [["order-1"], ["order-2 12 2"]]);
      const told = async (eventId: string): Promise<unknown> =>
        (await shown(scene, eventId)).history.map((entry) => [entry.kind, entry.eventId, entry.reason]).at(-1);
      assert.deepEqual(
        [await told("order-1"), await told("order-2")],
        [
          ["forked-to", "order-2", "another card"],
          ["forked-from", "order-1", "another card"],
        ],
      );
      const again = await runs(...args);
      assert.deepEqual([again.code, /found a record of 'order-2'; name another with --as/.test(again.stderr)], [1, true], again.stderr);
      assert.equal((await shown(scene, "order-1")).state, "dead");
    });
  });
}
