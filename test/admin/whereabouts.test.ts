import { strict as assert } from "node:assert";
import { test } from "node:test";
import { whereabouts } from "#runtime/cli/admin-probes.ts";

test("a probe that has not come back is said to wait behind circuits that are not closed, where that is what keeps a worker from taking it", async () => {
  const nowhere = { run: () => Promise.resolve(undefined) };
  const shut = { dependency: "bank", state: "open" } as const;
  const sought = { source: "orders", eventId: "p" };
  assert.equal(await whereabouts(nowhere, { ...sought, shut: [] }), "no worker has begun it; it waits in the queue, or cannot be received");
  assert.match(
    await whereabouts(nowhere, { ...sought, shut: [shut, { dependency: "mailer", state: "half-open" }] }),
    /; the circuit of bank is open here, the circuit of mailer is half-open here, and a worker whose skills all wait for one takes nothing$/,
  );
  const begun = { run: () => Promise.resolve({ state: "running" }) as never };
  assert.match(await whereabouts(begun, { ...sought, shut: [shut] }), /^a worker has begun it, and its record says 'running'$/);
});
