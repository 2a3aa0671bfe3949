/** The ceilings: what receiving and completing alone costs, without any work, on the SDK and on rhea. */
import { once } from "node:events";
import { ServiceBusClient } from "@azure/service-bus";
import rhea from "rhea";
import type { PeerOptions, Running } from "./peer.ts";

const batchMax = 500;
const waitMs = 1_000;

/** Receive a batch, complete all of it in order, receive the next. */
export async function startBareSdk({ connectionString, queue }: PeerOptions): Promise<Running> {
  const client = new ServiceBusClient(connectionString);
  const receiver = client.createReceiver(queue, {
    receiveMode: "peekLock",
    maxAutoLockRenewalDurationInMs: 0,
    skipParsingBodyAsJson: true,
    skipConvertingDate: true,
  });
  const stop = new AbortController();
  const work = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const messages = await receiver.receiveMessages(batchMax, { maxWaitTimeInMs: waitMs });
      await Promise.all(messages.map((message) => receiver.completeMessage(message)));
    }
  };
  const working = work();
  return {
    async stop() {
      stop.abort();
      await working;
      await client.close();
    },
  };
}

export async function startBareRhea({ connectionString, queue }: PeerOptions): Promise<Running> {
  const [, host = "", port = ""] = /sb:\/\/([^:/;]+):(\d+)/.exec(connectionString) ?? [];
  const connection = rhea.create_container().connect({ host, port: Number(port), username: "any", reconnect: false });
  const receiver = connection.open_receiver({ source: queue, autoaccept: false, autosettle: false, credit_window: 0, rcv_settle_mode: 1 });
  receiver.on("message", ({ delivery }) => delivery?.accept());
  receiver.on("settled", ({ delivery }) => {
    delivery?.update(true);
    receiver.add_credit(1);
  });
  await once(receiver, "receiver_open");
  receiver.add_credit(batchMax);
  return {
    async stop() {
      const closed = once(connection, "connection_close");
      connection.close();
      await closed;
    },
  };
}
