import { fileURLToPath } from "node:url";
import { type Figure, figure, ratio } from "../support/figures.ts";
import { Peer } from "../support/peer.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { interleave } from "../support/rounds.ts";
import { cpuMicros } from "../support/serve.ts";
import { type Client, clientNames } from "./clients.ts";
import { receiveWithEngine } from "./engine-client.ts";
import { receiveWithRhea } from "./rhea-client.ts";
import type { ServerCalls } from "./server.ts";

export interface AmqpOptions extends ReportOptions {
  readonly rounds: number;
  readonly messages: number;
  readonly credit: number;
  readonly only?: readonly string[];
}

interface Sample {
  readonly clientMicros: number;
  readonly serverMicros: number;
  readonly perSecond: number;
}

const clients: Readonly<Record<(typeof clientNames)[number], Client>> = { engine: receiveWithEngine, rhea: receiveWithRhea };
const serverScript = fileURLToPath(import.meta.resolve("./server.ts"));

export async function run(options: AmqpOptions): Promise<number> {
  const report = new Report("amqp", options);
  const chosen = clientNames.filter((name) => options.only?.includes(name) ?? true).map((name) => ({ name, client: clients[name] }));
  const server = await Peer.start<ServerCalls>(serverScript);
  try {
    const port = await server.call("port");
    const samples = await interleave(chosen, options.rounds, ({ client }) => turn(server, port, client, options));
    const clientOf = (list: readonly Sample[]): Figure => figure(list, ({ clientMicros }) => clientMicros, 2);
    const peer = samples.get("rhea");
    report.table({
      name: "clients",
      title: `Received and completed, ${options.messages.toLocaleString("en")} messages a turn, credit ${options.credit}; median (range) of ${options.rounds} rounds`,
      columns: {
        name: "",
        client: "client CPU, µs a message",
        lessThanRhea: "times less than rhea",
        server: "server CPU, µs a message",
        perSecond: "messages/s",
      },
      rows: [...samples].map(([name, list]) => ({
        name,
        client: clientOf(list),
        lessThanRhea: peer === undefined ? undefined : ratio(clientOf(peer), clientOf(list), 1),
        server: figure(list, ({ serverMicros }) => serverMicros, 2),
        perSecond: figure(list, (sample) => sample.perSecond, 0),
      })),
    });
  } finally {
    await server.stop();
  }
  return report.end();
}

async function turn(server: Peer<ServerCalls>, port: number, client: Client, { messages, credit }: AmqpOptions): Promise<Sample> {
  const settledBefore = await server.call("settled");
  const serverBefore = await server.call("cpuMicros");
  const cpuBefore = cpuMicros();
  const startMs = performance.now();
  await client(port, messages, credit);
  const tookMs = performance.now() - startMs;
  const clientCpu = cpuMicros() - cpuBefore;
  const serverCpu = (await server.call("cpuMicros")) - serverBefore;
  const settled = (await server.call("settled")) - settledBefore;
  if (settled < messages) throw new Error(`expected ${messages} settled, the server counts ${settled}`);
  return { clientMicros: clientCpu / settled, serverMicros: serverCpu / settled, perSecond: (settled / tookMs) * 1_000 };
}
