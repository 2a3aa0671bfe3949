// What every board of a pool must do. An adapter's test calls it with boards that share what they keep.
import { strict as assert } from "node:assert";
import { describe, type TestContext, test } from "node:test";
import { notesMax, type PoolBoard } from "#runtime/ports/pool-board.ts";
import { eventually } from "../support/eventually.ts";

export interface PoolBoardHarness {
  /** Of one worker; all of a harness share their notes. */
  open(consumer?: string): Promise<PoolBoard>;
}

export function poolBoardContract(name: string, makeHarness: (t: TestContext) => Promise<PoolBoardHarness>): void {
  describe(`pool board: ${name}`, () => {
    test("what one worker leaves another sees, the last that was left under each name", async (t) => {
      const harness = await makeHarness(t);
      const [one, other] = [await harness.open(), await harness.open()];
      assert.deepEqual(await other.list("workers"), []);
      await one.put("workers", "a", "1", 60_000);
      await one.put("workers", "b", "é ✓", 60_000);
      await other.put("workers", "a", "2", 60_000);
      const found = (await other.list("workers")).toSorted((left, right) => (left.name < right.name ? -1 : 1));
      assert.deepEqual(
        found.map((note) => ({ ...note })),
        [
          { name: "a", text: "2" },
          { name: "b", text: "é ✓" },
        ],
      );
    });

    test("topics are kept apart, and so are consumers", async (t) => {
      const harness = await makeHarness(t);
      const board = await harness.open();
      await board.put("workers", "a", "1", 60_000);
      assert.deepEqual(await board.list("probes"), []);
      assert.deepEqual(await (await harness.open("invoices")).list("workers"), []);
    });

    test("a note is gone after its time, and one that is left again lasts on", async (t) => {
      const board = await (await makeHarness(t)).open();
      await board.put("workers", "short", "1", 50);
      await board.put("workers", "renewed", "1", 50);
      await board.put("workers", "renewed", "1", 60_000);
      await eventually("the short one to be gone", async () => (await board.list("workers")).length === 1);
      assert.deepEqual((await board.list("workers"))[0]?.name, "renewed");
      assert.equal(await board.take("workers", "short"), undefined);
    });

    test("one that is taken is gone, and is answered once", async (t) => {
      const board = await (await makeHarness(t)).open();
      await board.put("probes", "a", "1", 60_000);
      assert.deepEqual([await board.take("probes", "a"), await board.take("probes", "a"), await board.list("probes")], ["1", undefined, []]);
    });

    test("a topic keeps so many, those that last the longest", async (t) => {
      const board = await (await makeHarness(t)).open();
      await Promise.all(Array.from({ length: notesMax + 5 }, (_, number) => board.put("probes", `n${number}`, "1", 600_000 + number * 1_000)));
      const names = new Set((await board.list("probes")).map((note) => note.name));
      assert.deepEqual([names.size, names.has("n4"), names.has("n5")], [notesMax, false, true]);
    });

    test("stopped twice is as good as once", async (t) => {
      const board = await (await makeHarness(t)).open();
      await board.put("workers", "a", "1", 60_000);
      await board.stop();
      await board.stop();
    });
  });
}
