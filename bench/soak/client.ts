// Sends and receives at once, in a process of its own. Its parameters: the broker's connection string, the queue, and the
// size of a body in bytes.
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { serve } from "../support/serve.ts";

const batchMessages = 1_000;
/** Messages that are sent and not yet completed, so that the broker's queue stays short. */
const underWayMax = 10_000;
const credit = 2_000;

const [connectionString = "", queue = "", bodyBytes = ""] = process.argv.slice(2);
const body = Buffer.alloc(Number(bodyBytes), "x");
const publisher = createAmqpPublisher({ connectionString, clock: systemClock });
const transport = createAmqpTransport({ connectionString, entity: { queue }, clock: systemClock });

let sent = 0;
let completed = 0;
let failed: unknown;
/** Called when a batch was completed, or something failed. */
let advanced: () => void = () => undefined;

function fail(error: unknown): void {
  failed = error;
  advanced();
}

await Promise.all([publisher.start(), transport.start()]);
const receiver = transport.openReceiver({
  deliveries(batch) {
    for (const delivery of batch) if (delivery.header("eventId") === undefined) fail(new Error(`expected an event id in message ${delivery.messageId}`));
    transport.settle(batch.map((delivery) => ({ verb: "complete", delivery }))).then((results) => {
      if (results.some((result) => result !== "settled")) fail(new Error("expected every message to be completed"));
      completed += results.length;
      receiver.addCredit(results.length);
      advanced();
    }, fail);
  },
  disturbed: fail,
});
receiver.addCredit(credit);

async function until(isReached: () => boolean): Promise<void> {
  while (!isReached()) {
    if (failed !== undefined) throw failed;
    const { promise, resolve } = Promise.withResolvers<void>();
    advanced = resolve;
    await promise;
  }
}

const calls = {
  /** Lets `count` messages pass through; resolves when all are completed. */
  async pump(count: number): Promise<void> {
    const end = sent + count;
    let sending = Promise.resolve();
    while (sent < end) {
      const first = sent;
      const messages = Array.from({ length: Math.min(batchMessages, end - sent) }, (_, index) => ({
        messageId: `${first + index}`,
        body,
        headers: { eventId: `${first + index}`, eventType: "Measured" },
      }));
      sent += messages.length;
      // Two batches are on their way at a time, so that neither side waits for the other's answer.
      const before = sending;
      sending = publisher.send(queue, messages);
      await before;
      await until(() => sent - completed <= underWayMax);
    }
    await sending;
    await until(() => completed === sent);
  },
};
export type SoakCalls = typeof calls;

serve(calls, async () => {
  await receiver.stop();
  await Promise.all([transport.stop(), publisher.stop()]);
});
