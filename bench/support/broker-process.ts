// The local broker in a process of its own. Its first parameter is its options, as JSON.
import { type Broker, type BrokerOptions, startBroker } from "#load/broker/broker.ts";
import type { FaultReport, FaultRequest } from "#load/broker/protocol/faults.ts";
import { originHeader } from "#runtime/core/copy.ts";
import { serve } from "./serve.ts";

const pageMessages = 1_000;
const broker = await startBroker(JSON.parse(process.argv[2]!) as BrokerOptions);

const calls = {
  connectionString: (): string => broker.connectionString,
  inspect: (): ReturnType<Broker["inspect"]> => broker.inspect(),
  /** Of one queue: what is asked for often must cost little. */
  states: (path: string): NonNullable<ReturnType<Broker["states"]>> => broker.states(path)!,
  outcomes: (path: string): ReturnType<Broker["outcomes"]> => followed(broker.outcomes(path), path),
  addFault: (fault: FaultRequest): FaultReport => broker.faults.add(fault),
  removeFault: (id: number): number => broker.faults.clear(id),
};
export type BrokerCalls = typeof calls;

/** A message that was completed for a copy of it, and whose copy was dead-lettered, has ended so, too. */
function followed(outcomes: ReturnType<Broker["outcomes"]>, path: string): ReturnType<Broker["outcomes"]> {
  if (outcomes === undefined) return undefined;
  const all = new Map(outcomes);
  for (let from: number | null = 0; from !== null;) {
    const page = broker.inspectMessages(`${path}/$DeadLetterQueue`, { from, top: pageMessages });
    for (const { messageId, applicationProperties } of page?.messages ?? []) {
      const origin = applicationProperties[originHeader];
      if (typeof origin === "string") all.set(origin, [...(all.get(origin) ?? []), ...(outcomes.get(messageId) ?? [])]);
    }
    from = page?.next ?? null;
  }
  return all;
}

serve(calls, () => broker.stop());
