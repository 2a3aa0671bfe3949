// A broker of a test's own, and clients on it that are closed with the test.
import type { TestContext } from "node:test";
import { type RetryOptions, ServiceBusClient } from "@azure/service-bus";
import { type Broker, type BrokerOptions, startBroker } from "#load/broker/broker.ts";
import type { QueueInspection } from "#load/broker/inspection.ts";

export interface BrokerBench {
  readonly broker: Broker;
  readonly client: ServiceBusClient;
  readonly newClient: (retryOptions?: RetryOptions) => ServiceBusClient;
  /** An entity's account. */
  readonly account: (path: string) => QueueInspection;
}

export async function startBench(t: TestContext, options: BrokerOptions): Promise<BrokerBench> {
  const broker = await startBroker(options);
  const clients: ServiceBusClient[] = [];
  t.after(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await broker.stop();
  });
  const newClient = (retryOptions?: RetryOptions): ServiceBusClient => {
    const client = new ServiceBusClient(broker.connectionString, { retryOptions: { maxRetries: 0, timeoutInMs: 10_000, ...retryOptions } });
    clients.push(client);
    return client;
  };
  return {
    broker,
    client: newClient(),
    newClient,
    account(path) {
      const found = broker.inspect().queues[path];
      if (found === undefined) throw new Error(`expected the broker to have ${path}, found ${Object.keys(broker.inspect().queues).join(", ")}`);
      return found;
    },
  };
}
