// A broker in a process of its own that a test may kill: its options come as JSON, and it tells where it listens.
import { startBroker } from "#load/broker/broker.ts";

const broker = await startBroker(JSON.parse(process.argv[2] ?? "{}") as Parameters<typeof startBroker>[0]);
process.send?.(broker.connectionString);
