// The local broker in a process of its own. Its first parameter is its options, as JSON.
import { type Broker, type BrokerOptions, startBroker } from "#load/broker/broker.ts";
import { serve } from "./serve.ts";

const broker = await startBroker(JSON.parse(process.argv[2]!) as BrokerOptions);

const calls = {
  connectionString: (): string => broker.connectionString,
  inspect: (): ReturnType<Broker["inspect"]> => broker.inspect(),
  outcomes: (path: string): ReturnType<Broker["outcomes"]> => broker.outcomes(path),
};
export type BrokerCalls = typeof calls;

serve(calls, () => broker.stop());
