// A worker process of the SQLite store's test: claims and finishes the same runs as its siblings, and reports what it got.
import { createThreadedSqliteRunStore } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { claimOf } from "../contracts/run-store-fixtures.ts";

const [path = "", worker = ""] = process.argv.slice(2);
const store = createThreadedSqliteRunStore({ consumer: "orders", retentionMs: 3_600_000, path, clock: systemClock });
await store.start();
const acquired: string[] = [];
let written = 0;
for (let batch = 0; batch < 40; batch += 1) {
  const ids = Array.from({ length: 50 }, (_, index) => `event-${batch * 50 + index}`);
  const results = await store.claim(
    ids.map((id) => claimOf(id, { token: `${worker}:${id}` })),
    60_000,
  );
  const mine = ids.filter((_, index) => results[index]?.kind === "acquired");
  acquired.push(...mine);
  const answers = await store.finish(mine.map((eventId) => ({ eventId, epoch: 1, outbox: new Uint8Array(0) })));
  written += answers.filter((answer) => answer === "written").length;
}
await store.stop();
process.send?.({ acquired, written });
process.disconnect();
