/**
 * Mixed settlement at full speed: every message is given an outcome at random (complete, dead-letter, defer, abandon and then
 * complete), in the same ticks as its neighbours, and the broker's own record tells what really became of each. Our AMQP
 * transport beside the SDK used plainly, which merges outcomes that differ. Exits with 1 when a transport of ours was wrong.
 *
 *   npm run bench -- settlement [--messages 200000] [--sdk-messages 20000] [--seed 1] [--only amqp,sdk-plain]
 */
import { parseArgs } from "node:util";
import { ServiceBusClient, type ServiceBusReceivedMessage } from "@azure/service-bus";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { SettleOrder } from "#runtime/ports/transport.ts";

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "200000" },
    "sdk-messages": { type: "string", default: "20000" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
  },
});

type Verb = SettleOrder["verb"];

/** What the broker records of a message that was settled so. */
const records: Readonly<Record<Verb, string>> = {
  complete: "accepted,delivered,completed",
  "dead-letter": "accepted,delivered,deadLettered",
  defer: "accepted,delivered,deferred",
  abandon: "accepted,delivered,abandoned,delivered,completed",
};

const credit = 500;
const batchMessages = 2_000;

/** A repeatable sequence of numbers in [0, 1). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Chooses what becomes of each message, and remembers. */
class Wishes {
  readonly verbs = new Map<string, Verb>();
  readonly #random = randomFrom(Number(values.seed));
  /** Settlements that end all messages: an abandoned one is settled twice. */
  settlements = 0;

  next(messageId: string): Verb {
    this.settlements += 1;
    if (this.verbs.has(messageId)) return "complete";
    const verb = (["complete", "complete", "complete", "dead-letter", "defer", "abandon"] as const)[Math.floor(this.#random() * 6)] ?? "complete";
    this.verbs.set(messageId, verb);
    return verb;
  }

}

interface Contender {
  readonly name: string;
  readonly messages: number;
  /** Settles everything in the queue of its name as wished; returns how many settlements were reported as done. */
  run(connectionString: string, wishes: Wishes, isOver: () => boolean): Promise<number>;
}

const ours: Contender = {
  name: "amqp",
  messages: Number(values.messages),
  async run(connectionString, wishes, isOver) {
    const transport = createAmqpTransport({ connectionString, entity: { queue: this.name }, clock: systemClock });
    await transport.start();
    const { promise: done, resolve, reject } = Promise.withResolvers<void>();
    let reported = 0;
    const receiver = transport.openReceiver({
      deliveries(batch) {
        const orders = batch.map((delivery): SettleOrder => {
          const verb = wishes.next(delivery.messageId);
          return verb === "dead-letter" ? { verb, delivery, reason: "Chosen", description: "by chance" } : { verb, delivery };
        });
        transport.settle(orders).then((results) => {
          for (const result of results) if (result === "settled") reported += 1;
          if (isOver()) resolve();
          else receiver.addCredit(results.length);
        }, reject);
      },
      disturbed: reject,
    });
    receiver.addCredit(credit);
    await done;
    await receiver.stop();
    await transport.stop();
    return reported;
  },
};

/** `subscribe` with as many calls, each of which settles its message as soon as it comes. */
const plainSdk: Contender = {
  name: "sdk-plain",
  messages: Number(values["sdk-messages"]),
  async run(connectionString, wishes, isOver) {
    const client = new ServiceBusClient(connectionString);
    const receiver = client.createReceiver(this.name, { skipParsingBodyAsJson: true, skipConvertingDate: true, maxAutoLockRenewalDurationInMs: 0 });
    const { promise: done, resolve } = Promise.withResolvers<void>();
    let reported = 0;
    const settle = async (message: ServiceBusReceivedMessage): Promise<void> => {
      switch (wishes.next(String(message.messageId))) {
        case "complete":
          return receiver.completeMessage(message);
        case "dead-letter":
          return receiver.deadLetterMessage(message, { deadLetterReason: "Chosen", deadLetterErrorDescription: "by chance" });
        case "defer":
          return receiver.deferMessage(message);
        case "abandon":
          return receiver.abandonMessage(message);
      }
    };
    const subscription = receiver.subscribe(
      {
        async processMessage(message) {
          await settle(message);
          reported += 1;
          if (isOver()) resolve();
        },
        async processError() {},
      },
      { autoCompleteMessages: false, maxConcurrentCalls: credit },
    );
    await done;
    await subscription.close();
    await client.close();
    return reported;
  },
};

async function fill({ connectionString }: Broker, { name, messages }: Contender): Promise<void> {
  const publisher = createAmqpPublisher({ connectionString, clock: systemClock });
  await publisher.start();
  for (let sent = 0; sent < messages; sent += batchMessages) {
    const count = Math.min(batchMessages, messages - sent);
    await publisher.send(name, Array.from({ length: count }, (_, index) => ({ messageId: `${sent + index}`, body: Buffer.alloc(64), headers: {} })));
  }
  await publisher.stop();
}

async function measure(broker: Broker, contender: Contender): Promise<{ readonly wrong: number; readonly name: string }> {
  await fill(broker, contender);
  const { name, messages } = contender;
  const wishes = new Wishes();
  const isOver = (): boolean => {
    const states = broker.inspect().queues[name]?.states;
    return states !== undefined && states.active === 0 && states.locked === 0;
  };
  const fromMs = performance.now();
  const reported = await contender.run(broker.connectionString, wishes, isOver);
  const tookMs = performance.now() - fromMs;
  const outcomes = broker.outcomes(name) ?? new Map<string, readonly string[]>();
  let wrong = messages - outcomes.size;
  for (const [id, found] of outcomes) if (found.join() !== records[wishes.verbs.get(id) ?? "complete"]) wrong += 1;
  const figures = { bench: "settlement", name, messages, settlements: wishes.settlements, reported, wrong, perSecond: Math.round(wishes.settlements / (tookMs / 1_000)) };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  return { name, wrong };
}

const contenders = [ours, plainSdk].filter(({ name }) => values.only === undefined || values.only.split(",").includes(name));
const broker = await startBroker({ record: true, entities: { queues: contenders.map(({ name }) => ({ name, lockDurationMs: 300_000, deliveryCountMax: 100 })), topics: [] } });
try {
  for (const contender of contenders) {
    const { name, wrong } = await measure(broker, contender);
    if (name === ours.name && wrong > 0) process.exitCode = 1;
  }
} finally {
  await broker.stop();
}
