// The account is read over connections that are kept open, and by processes that may have been stopped for a while.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { askControl } from "#load/broker/control/client.ts";
import { BrokerControl } from "#load/dev/broker-account.ts";

const account = {
  accepted: 1,
  scheduledAccepted: 0,
  completed: 1,
  deadLettered: 0,
  expiredLocks: 0,
};
const inspection = { queues: { input: { path: "input", totals: account, states: { active: 0, locked: 0, scheduled: 0, deferred: 0 } } } };

interface Closing {
  port: number;
  /** Requests that came, by method. */
  readonly came: string[];
  /** Connections that are closed by the next request on them: those that have answered once, or all. */
  closes: "none" | "kept" | "all";
}

async function closingServer(t: TestContext): Promise<Closing> {
  const answered = new Set<Socket>();
  const closing: Closing = { port: 0, came: [], closes: "none" };
  const server = createServer((request, response) => {
    closing.came.push(request.method ?? "");
    if (closing.closes === "all" || (closing.closes === "kept" && answered.has(request.socket))) return void request.socket.resetAndDestroy();
    answered.add(request.socket);
    response.end(JSON.stringify(inspection));
  }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  closing.port = (server.address() as AddressInfo).port;
  return closing;
}

test("an account is read on a new connection where the one that was kept is closed under the request", async (t) => {
  const closing = await closingServer(t);
  const control = new BrokerControl(closing.port, "input");
  await Promise.all([control.account(), control.account()]);
  closing.closes = "kept";
  assert.equal((await control.account()).completed, 1);
  assert.deepEqual(await askControl(`http://127.0.0.1:${closing.port}`, "GET", "/inspect"), inspection);
});

test("what changes the broker is asked for once only, and a read not for ever", async (t) => {
  const closing = await closingServer(t);
  const url = `http://127.0.0.1:${closing.port}`;
  closing.closes = "all";
  await assert.rejects(askControl(url, "POST", "/faults", {}), /expected a broker's control endpoint/);
  assert.deepEqual(closing.came, ["POST"]);
  await assert.rejects(askControl(url, "GET", "/inspect"), /expected a broker's control endpoint/);
  assert.deepEqual(closing.came, ["POST", "GET", "GET", "GET", "GET"]);
});
