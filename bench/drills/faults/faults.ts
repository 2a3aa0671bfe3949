/** All faults, in the order in which they are tried. */
import type { Fault } from "./fault.ts";
import { brokerFaults } from "./kinds/broker.ts";
import { clockFaults } from "./kinds/clocks.ts";
import { redisFaults } from "./kinds/redis.ts";
import { workerFaults } from "./kinds/workers.ts";

export const faults: readonly Fault[] = [...redisFaults, ...brokerFaults, ...workerFaults, ...clockFaults];
