import { fileURLToPath } from "node:url";
import { type BenchBroker, fill, startBenchBroker } from "../support/broker.ts";
import { figure, type Figure, ratio } from "../support/figures.ts";
import { Peer } from "../support/peer.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { interleave } from "../support/rounds.ts";
import type { Target } from "../support/target.ts";
import type { ClientCalls } from "./client.ts";
import { type Row, rows } from "./rows.ts";

export interface TransportOptions extends ReportOptions {
  readonly rounds: number;
  readonly messages: number;
  readonly peerMessages: number;
  readonly body: number;
  readonly only?: readonly string[];
}

interface Sample {
  readonly clientMicros: number;
  readonly brokerMicros: number;
  readonly perSecond: number;
}

interface RowFigures {
  readonly client: Figure;
  readonly broker: Figure;
  readonly perSecond: Figure;
  /** How many times the row's CPU the SDK uses. */
  readonly lessThanSdk: Figure | undefined;
}

const clientScript = fileURLToPath(import.meta.resolve("./client.ts"));
const baseName = "sdk-batches";
const claimName = "amqp-routed";
/** Part of the messages that the warm-up takes: enough for everything to be compiled. */
const warmUpPart = 1 / 4;

export async function run(options: TransportOptions): Promise<number> {
  const report = new Report("transport", options);
  const chosen = rows.filter(({ name }) => options.only?.includes(name) ?? true);
  const broker = await startBenchBroker(chosen.map(({ name }) => name));
  const clients = new Map<string, Peer<ClientCalls>>();
  try {
    await Promise.all(chosen.map(async ({ name }) => clients.set(name, await Peer.start<ClientCalls>(clientScript, name, broker.connectionString))));
    const samples = await interleave(chosen, options.rounds, (row, isWarmUp) => turn(broker, clients.get(row.name)!, row, options, isWarmUp));
    tell(report, options, samples);
  } finally {
    await Promise.all([...clients.values()].map((client) => client.stop()));
    await broker.peer.stop();
  }
  return report.end();
}

async function turn(broker: BenchBroker, client: Peer<ClientCalls>, row: Row, options: TransportOptions, isWarmUp: boolean): Promise<Sample> {
  const all = row.client === "amqp" ? options.messages : options.peerMessages;
  const count = isWarmUp ? Math.ceil(all * warmUpPart) : all;
  const body = Buffer.alloc(options.body, "x");
  await fill(broker, row.name, count, (index) => ({ messageId: `${index}`, body, headers: { eventType: "Measured", eventId: `${index}` } }));
  // The garbage of the filling is not the turn's.
  await Promise.all([client.call("collectGarbage"), broker.peer.call("collectGarbage")]);
  const before = await broker.peer.call("cpuMicros");
  const { tookMs, cpuMicros } = await client.call("turn", count);
  const after = await broker.peer.call("cpuMicros");
  return { clientMicros: cpuMicros / count, brokerMicros: (after - before) / count, perSecond: (count / tookMs) * 1_000 };
}

function figuresOf(samples: ReadonlyMap<string, readonly Sample[]>): ReadonlyMap<string, RowFigures> {
  const baseSamples = samples.get(baseName);
  const base = baseSamples === undefined ? undefined : figure(baseSamples, ({ clientMicros }) => clientMicros, 1);
  return new Map(
    [...samples].map(([name, list]) => {
      const client = figure(list, ({ clientMicros }) => clientMicros, 2);
      const broker = figure(list, ({ brokerMicros }) => brokerMicros, 2);
      const perSecond = figure(list, (sample) => sample.perSecond, 0);
      return [name, { client, broker, perSecond, lessThanSdk: base === undefined ? undefined : ratio(base, client, 1) }];
    }),
  );
}

function tell(report: Report, { rounds, messages, peerMessages, body }: TransportOptions, samples: ReadonlyMap<string, readonly Sample[]>): void {
  const figures = figuresOf(samples);
  report.table({
    name: "rows",
    title: `Received and completed, ${body}-byte bodies; ${messages.toLocaleString("en")} messages a turn (amqp), ${peerMessages.toLocaleString("en")} (others); median (range) of ${rounds} rounds`,
    columns: {
      name: "",
      client: "client CPU, µs a message",
      lessThanSdk: "times less than the SDK",
      broker: "broker CPU, µs a message",
      perSecond: "messages/s",
    },
    rows: [...figures].map(([name, row]) => ({ name, ...row })),
  });
  const claim = figures.get(claimName);
  if (claim !== undefined) report.targets(...targetsOf(claimName, claim));
  const plain = figures.get("amqp");
  if (plain !== undefined) report.targets(...targetsOf("amqp", plain));
}

function targetsOf(name: string, { client, lessThanSdk, broker }: RowFigures): Target[] {
  const targets: Target[] = [
    { what: `${name}: client CPU`, found: client, unit: "µs", bound: { atMost: 5 }, aim: 3 },
    { what: `${name}: broker CPU`, found: broker, unit: "µs", bound: { atMost: 8 }, aim: 4 },
  ];
  if (lessThanSdk !== undefined) targets.push({ what: `${name}: less than the SDK`, found: lessThanSdk, unit: "times", bound: { atLeast: 10 } });
  return targets;
}
