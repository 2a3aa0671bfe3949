// The local broker in a process of its own. Its first parameter is its options, as JSON.
import { type Broker, type BrokerOptions, startBroker } from "#load/broker/broker.ts";
import type { FaultReport, FaultRequest } from "#load/broker/protocol/faults.ts";
import { serve } from "./serve.ts";

const broker = await startBroker(JSON.parse(process.argv[2]!) as BrokerOptions);

const calls = {
  connectionString: (): string => broker.connectionString,
  inspect: (): ReturnType<Broker["inspect"]> => broker.inspect(),
  /** Of one queue: what is asked for often must cost little. */
  states: (path: string): ReturnType<Broker["inspect"]>["queues"][string]["states"] => broker.inspect().queues[path]!.states,
  outcomes: (path: string): ReturnType<Broker["outcomes"]> => broker.outcomes(path),
  addFault: (fault: FaultRequest): FaultReport => broker.faults.add(fault),
  removeFault: (id: number): number => broker.faults.clear(id),
};
export type BrokerCalls = typeof calls;

serve(calls, () => broker.stop());
