import { strict as assert } from "node:assert";
import { test } from "node:test";
import { whereabouts } from "#runtime/cli/admin-probes.ts";

test("a probe that has not come back is said to wait behind an open circuit, where that is what keeps a worker from taking it", async () => {
  const nowhere = { run: () => Promise.resolve(undefined) };
  const sought = { source: "orders", eventId: "p" };
  assert.equal(await whereabouts(nowhere, { ...sought, openCircuits: [] }), "no worker has begun it; it waits in the queue, or cannot be received");
  assert.match(
    await whereabouts(nowhere, { ...sought, openCircuits: ["bank", "mailer"] }),
    /; the circuit of bank, mailer is open here, and a worker whose skills all wait for one takes nothing$/,
  );
  const begun = { run: () => Promise.resolve({ state: "running" }) as never };
  assert.match(await whereabouts(begun, { ...sought, openCircuits: ["bank"] }), /^a worker has begun it, and its record says 'running'$/);
});
