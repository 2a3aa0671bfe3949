// The curves of the page, second by second.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { History, type Totals } from "#runtime/admin/history.ts";
import type { WorkerView } from "#runtime/pipeline/worker-view.ts";

test("what was before a beginning is in no point", () => {
  let completed = 0;
  const totals = (): Totals => ({ completed, duplicates: 0, deadLettered: 0, retried: 0, postponed: 0, criticalTime: [completed] });
  let nowMs = 0;
  const history = new History({ view: () => ({ sources: [], inFlight: 0, executing: 0 }) as unknown as WorkerView, totals, nowMs: () => (nowMs += 1_000) });
  completed = 900;
  history.look();
  completed = 1_000;
  history.begin();
  completed = 1_007;
  history.look();
  assert.deepEqual(
    history.since(0).map((point) => [point.atMs, point.completed]),
    [[2_000, 7]],
  );
});
