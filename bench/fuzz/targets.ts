// What can be fuzzed, by name.
import type { FuzzTarget } from "./target.ts";

export const targets: ReadonlyMap<string, () => Promise<FuzzTarget>> = new Map([
  ["broker", async () => (await import("./broker/target.ts")).brokerTarget],
  ["amqp", async () => (await import("./amqp/target.ts")).amqpTarget],
]);
