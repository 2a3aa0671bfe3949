import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { BrokerConnection, OpenConnection } from "#runtime/adapters/amqp/broker-connection.ts";
import { Management } from "#runtime/adapters/amqp/management.ts";
import { EntityReceiver } from "#runtime/adapters/amqp/receiver.ts";
import { TransportError } from "#runtime/core/errors.ts";
import { within } from "../support/eventually.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

const missing = new TransportError("expected input, found no entity of that name", { entityTrouble: "missing" });

/** How long a receiver whose every try fails leaves the entity alone, each time. */
async function pausesOf(error: TransportError, tries: number): Promise<number[]> {
  const clock = new SimClock();
  const triedMs: number[] = [];
  const connection = {
    authorize: async () => {
      triedMs.push(clock.monotonicMs());
      throw error;
    },
  } as unknown as OpenConnection;
  const receiver = new EntityReceiver({
    listener: { deliveries() {}, disturbed() {} },
    broker: { open: connection, join() {}, leave() {} } as unknown as BrokerConnection,
    management: {} as Management,
    address: "input",
    clock,
    newName: () => "link",
    linkOpened() {},
    linkEnded() {},
    stopped() {},
  });
  receiver.opened(connection);
  await clock.until("all tries", () => triedMs.length > tries, 300_000);
  await receiver.stop();
  return triedMs.slice(1).map((ms, index) => ms - triedMs[index]!);
}

/** Each is as long as it may be, or up to a quarter less. */
function assertPauses(pauses: readonly number[], mostMs: readonly number[]): void {
  assert.equal(pauses.length, mostMs.length);
  for (const [index, ms] of pauses.entries()) assert.ok(ms <= mostMs[index]! && ms >= 0.74 * mostMs[index]!, pauses.join());
}

test("an entity that refuses is left alone for longer each time, thirty seconds at most", async () => {
  assertPauses(await pausesOf(missing, 10), [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000]);
});

test("a link that could not be had for another reason is tried again within five seconds", async () => {
  assertPauses(await pausesOf(new TransportError("expected an answer, found none"), 8), [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
});

test("whoever asks for something of an entity that is not there hears it at once, not that there was no answer", async () => {
  const connection = { authorize: () => Promise.reject(missing) } as unknown as OpenConnection;
  const broker = { open: connection, join() {}, leave() {} } as unknown as BrokerConnection;
  const management = new Management({ broker, address: "input", clock: new SimClock(), answerTimeoutMs: 10_000 });
  const asked = management.ask("peek-message", {});
  management.opened(connection);
  await assert.rejects(within("an answer", asked), missing);
  management.stop();
});
