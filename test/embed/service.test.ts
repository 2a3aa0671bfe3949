// The README's HTTP service with a worker inside: stopped by its host in the middle of things, it loses nothing.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { startBroker } from "#load/broker/index.ts";
import type { ConfigInput } from "#runtime/index.ts";
import { eventually, within } from "../support/eventually.ts";
import { importExample } from "../support/readme-examples.ts";
import { sendEvents } from "../support/send-events.ts";

interface Service {
  readonly server: { address(): unknown };
  stop(): Promise<void>;
}

const events = 60;
const heldBack = 20;

/** Answers what it is asked; from the call number `heldBack` on only once it is told to. */
async function startBilling(t: TestContext): Promise<{ readonly url: string; readonly keys: string[]; readonly reached: Promise<void>; release(): void }> {
  const keys: string[] = [];
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    await text(request);
    keys.push(String(request.headers["idempotency-key"]));
    if (keys.length === heldBack) reached.resolve();
    if (keys.length >= heldBack) await released.promise;
    response.writeHead(200).end();
  };
  const server = createServer((request, response) => void answer(request, response));
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, keys, reached: reached.promise, release: () => released.resolve() };
}

test("a worker inside an HTTP service is stopped by it in the middle of work, and nothing is lost", async (t) => {
  const { startService } = await importExample<{ readonly startService: (config: Omit<ConfigInput, "plugins">, port?: number) => Promise<Service> }>(
    "startService(",
  );
  const folder = mkdtempSync(join(tmpdir(), "holdfast-service-"));
  const broker = await startBroker({ entities: { queues: ["orders"] }, record: true });
  const billing = await startBilling(t);
  const config: Omit<ConfigInput, "plugins"> = {
    sources: [{ queue: "orders" }],
    serviceBus: { connectionString: broker.connectionString },
    store: { kind: "sqlite", path: join(folder, "runs.sqlite") },
    dependencies: { billing: { baseUrl: billing.url } },
    threads: 1,
    stopBudgetMs: 1_000,
  };
  t.after(async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await sendEvents(
    broker,
    "orders",
    Array.from({ length: events }, (_, number) => ({ eventId: `order-${number}`, eventType: "OrderPlaced", payload: { number } })),
  );
  const first = await startService(config, 0);
  const { port } = first.server.address() as AddressInfo;
  const health = await fetch(`http://127.0.0.1:${port}/healthz`);
  assert.deepEqual([health.status, await health.text()], [200, ""]);
  assert.match(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), /^holdfast_ready 1$/m);
  await within("calls that hang", billing.reached);
  await first.stop();
  const account = () => broker.inspect().queues["orders"];
  assert.ok((account()?.states.active ?? 0) > 0, "expected messages to be back in the queue");
  assert.equal(account()?.states.locked, 0);
  await assert.rejects(fetch(`http://127.0.0.1:${port}/healthz`));
  billing.release();
  const second = await startService(config, 0);
  // A run that the first one had no time to give up is postponed until its claim has ended.
  const left = (): number => ["active", "locked", "scheduled"].reduce((sum, state) => sum + (account()?.states[state as "active"] ?? 0), 0);
  await eventually("nothing to be left in the queue", () => left() === 0, 60_000);
  await second.stop();
  const ends = [...(broker.outcomes("orders") ?? [])].map(([id, words]) => [id, words.at(-1)]);
  assert.deepEqual(
    ends.filter(([, end]) => end !== "completed"),
    [],
  );
  assert.equal(ends.filter(([id]) => id?.startsWith("order-")).length, events);
  assert.equal(new Set(billing.keys).size, events, "expected one key an order, the same again for calls that were cut off");
  assert.equal(account()?.states.deadLettered, 0);
});
