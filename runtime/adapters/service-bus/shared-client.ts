import type { ServiceBusClient } from "@azure/service-bus";

/** One client, which has one connection, for several transports: made for the first that joins, closed by the last that leaves. */
export class SharedClient {
  readonly #make: () => ServiceBusClient;
  #client: ServiceBusClient | undefined;
  #users = 0;

  constructor(make: () => ServiceBusClient) {
    this.#make = make;
  }

  /** Who joins leaves once. */
  join(): ServiceBusClient {
    this.#client ??= this.#make();
    this.#users += 1;
    return this.#client;
  }

  async leave(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0) return;
    const client = this.#client;
    this.#client = undefined;
    await client?.close();
  }
}
