// The public surface of the local Service Bus, `holdfast/broker`.
export { type Broker, type BrokerOptions, startBroker } from "./broker.ts";
export { BrokerConfigError } from "./entities/config-checks.ts";
export type { BrokerInspection, MessagePage, PageRequest, QueueInspection } from "./inspection.ts";
