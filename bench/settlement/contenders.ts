/** Who settles. Each reads from the queue of its name until it is asked to stop. */
import { ServiceBusClient, type ServiceBusReceivedMessage, type ServiceBusReceiver } from "@azure/service-bus";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { SettleOrder } from "#runtime/ports/transport.ts";
import { planted } from "../support/plant.ts";
import type { Wishes } from "./wishes.ts";

export interface Settling {
  /** Settlements that were reported as done so far. */
  reported(): number;
  /** Rejects when receiving fails. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

export interface Contender {
  readonly name: string;
  start(connectionString: string, wishes: Wishes): Promise<Settling>;
}

const inFlightMax = 500;
/** Of a message that is to be completed. */
const plantedId = "0";
const reason = "Chosen";
const description = "by chance";

const ours: Contender = {
  name: "amqp",
  async start(connectionString, wishes) {
    const transport = createAmqpTransport({ connectionString, entity: { queue: this.name }, clock: systemClock });
    await transport.start();
    const { promise: failed, reject } = Promise.withResolvers<never>();
    let reported = 0;
    const receiver = transport.openReceiver({
      deliveries(batch) {
        const orders = batch.map((delivery): SettleOrder => {
          const wished = wishes.next(delivery.messageId);
          const verb = planted() === "wrong" && delivery.messageId === plantedId ? "dead-letter" : wished;
          return verb === "dead-letter" ? { verb, delivery, reason, description } : { verb, delivery };
        });
        transport.settle(orders).then((results) => {
          for (const result of results) if (result === "settled") reported += 1;
          receiver.addCredit(results.length);
        }, reject);
      },
      disturbed: reject,
    });
    receiver.addCredit(inFlightMax);
    return {
      reported: () => reported,
      failed,
      async stop() {
        await receiver.stop();
        await transport.stop();
      },
    };
  },
};

const plainSdk: Contender = {
  name: "sdk",
  async start(connectionString, wishes) {
    const client = new ServiceBusClient(connectionString);
    const receiver = client.createReceiver(this.name, { skipParsingBodyAsJson: true, skipConvertingDate: true, maxAutoLockRenewalDurationInMs: 0 });
    const { promise: failed, reject } = Promise.withResolvers<never>();
    let reported = 0;
    const subscription = receiver.subscribe(
      {
        async processMessage(message) {
          await settle(receiver, message, wishes);
          reported += 1;
        },
        async processError({ error, errorSource }) {
          // A settlement that the SDK reports as failed is not counted as done; that is all.
          if (errorSource === "receive") reject(error);
        },
      },
      { autoCompleteMessages: false, maxConcurrentCalls: inFlightMax },
    );
    return {
      reported: () => reported,
      failed,
      async stop() {
        await subscription.close();
        await client.close();
      },
    };
  },
};

function settle(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, wishes: Wishes): Promise<void> {
  switch (wishes.next(String(message.messageId))) {
    case "complete":
      return receiver.completeMessage(message);
    case "dead-letter":
      return receiver.deadLetterMessage(message, { deadLetterReason: reason, deadLetterErrorDescription: description });
    case "defer":
      return receiver.deferMessage(message);
    case "abandon":
      return receiver.abandonMessage(message);
  }
}

export const contenders: readonly Contender[] = [ours, plainSdk];
