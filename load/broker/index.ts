/**
 * The local Service Bus, in a test's or a program's own process.
 * @module holdfast/broker
 */
export { type Broker, type BrokerOptions, startBroker } from "./broker.ts";
export { BrokerConfigError } from "./entities/config-checks.ts";
export type { BrokerInspection, MessagePage, PageRequest, QueueInspection } from "./inspection.ts";
