// A worker process of the windows' test: claims and finishes runs of its own until it is killed, and tells which are done.
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { claimOf } from "../contracts/run-store-fixtures.ts";

const [path = "", worker = ""] = process.argv.slice(2);
const clock = { wallMs: () => 1_700_000_000_000 };
const store = createSqliteRunStore({ consumer: "orders", retentionMs: 3_600_000, path, clock, windowRecords: 40 });
await store.start();
for (let batch = 0; ; batch += 1) {
  const ids = Array.from({ length: 10 }, (_, index) => `worker-${worker}-${batch * 10 + index}`);
  await store.claim(
    ids.map((id) => claimOf(id)),
    60_000,
  );
  await store.finish(ids.map((eventId) => ({ eventId, epoch: 1, outbox: new Uint8Array(0) })));
  await new Promise((resolve) => process.send?.(ids, resolve));
}
