// `node bench/amqp/main.ts [--messages N] [--repeats N] [--only engine|rhea]`: CPU a message to receive and complete in
// peek-lock, the engine's client beside rhea's, both from the engine's server in a child process, in turns.
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { parseArgs } from "node:util";
import rhea from "rhea";
import type { EventContext } from "rhea";
import { accepted } from "#runtime/amqp/delivery-state.ts";
import { dial } from "#runtime/amqp/sockets.ts";
import type { ServerReport } from "./server.ts";

const { values } = parseArgs({ options: { messages: { type: "string", default: "200000" }, repeats: { type: "string", default: "5" }, only: { type: "string" }, credit: { type: "string", default: "1000" } } });
const messages = Number(values.messages);
const repeats = Number(values.repeats);
const credit = Number(values.credit);

/** Receives and completes `count` messages. Resolves when the last is settled. */
type Client = (port: number, count: number) => Promise<void>;

/** Reads what routing needs, and completes in batches as they come. */
const engine: Client = (port, count) =>
  new Promise((resolve, reject) => {
    let received = 0;
    let settled = 0;
    let bytes = 0;
    const connection = dial(
      { containerId: "client", host: "127.0.0.1", port },
      {
        onOpen: () => {
          const receiver = connection.begin({}).openReceiver(
            { name: "receiver", source: { address: "queue" }, senderSettleMode: "unsettled", receiverSettleMode: "second" },
            {
              onDelivery: (delivery) => {
                const { message } = delivery;
                if (message.applicationProperties?.string("eventId") === undefined) throw new Error("expected an eventId");
                bytes += delivery.tag.length + message.data.length;
                received++;
                delivery.settle(accepted);
              },
              onDeliveriesEnd: (link) => {
                if (received < count && link.credit <= credit / 2) link.addCredit(credit - link.credit);
              },
              onSettled: () => {
                if (++settled >= count && settled === received) connection.close();
              },
            },
          );
          receiver.addCredit(credit);
        },
        onClosed: (_connection, end) => {
          if (end.by === "local" && bytes > 0) resolve();
          else reject(new Error(`engine: expected an orderly close, got ${end.by} ${end.error?.condition ?? ""}`, { cause: end.cause }));
        },
      },
    );
  });

const rheaClient: Client = (port, count) =>
  new Promise((resolve) => {
    const container = rhea.create_container();
    let received = 0;
    let settled = 0;
    const connection = container.connect({ port, host: "127.0.0.1", reconnect: false, username: "anonymous" });
    const receiver = connection.open_receiver({ source: "queue", snd_settle_mode: 0, rcv_settle_mode: 1, autoaccept: false, credit_window: 0 });
    receiver.on("receiver_open", () => receiver.add_credit(credit));
    receiver.on("message", ({ message, delivery }: EventContext) => {
      if (message?.application_properties?.["eventId"] === undefined) throw new Error("expected an eventId");
      received++;
      delivery?.accept();
      if (received % (credit / 2) === 0 && received < count) receiver.add_credit(credit / 2);
    });
    receiver.on("settled", () => {
      if (++settled >= count && settled === received) connection.close();
    });
    connection.on("connection_close", () => resolve());
  });

class BenchServer {
  readonly #child: ChildProcess;
  readonly port: number;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(): Promise<BenchServer> {
    const child = fork(new URL("./server.ts", import.meta.url), { stdio: "inherit" });
    const report = await BenchServer.#next(child);
    if (!("port" in report)) throw new Error("expected the server to tell its port first");
    return new BenchServer(child, report.port);
  }

  static async #next(child: ChildProcess): Promise<ServerReport> {
    const [report] = (await once(child, "message")) as [ServerReport];
    return report;
  }

  reset(): void {
    this.#child.send("reset");
  }

  async report(): Promise<Extract<ServerReport, { readonly cpuUs: number }>> {
    this.#child.send("report");
    const report = await BenchServer.#next(this.#child);
    if (!("cpuUs" in report)) throw new Error("expected the server to tell its CPU time");
    return report;
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, "exit");
    this.#child.disconnect();
    await exited;
  }
}

interface Sample {
  readonly clientUs: number;
  readonly serverUs: number;
  readonly perSecond: number;
}

async function measure(server: BenchServer, client: Client): Promise<Sample> {
  server.reset();
  const startedAt = performance.now();
  const cpu = process.cpuUsage();
  await client(server.port, messages);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - startedAt) / 1_000;
  const report = await server.report();
  if (report.settled < messages) throw new Error(`expected ${messages} settled, the server counts ${report.settled}`);
  return { clientUs: (user + system) / report.settled, serverUs: report.cpuUs / report.settled, perSecond: report.settled / seconds };
}

function median(samples: readonly Sample[], of: (sample: Sample) => number): string {
  const sorted = samples.map(of).sort((a, b) => a - b);
  const [low, middle, high] = [sorted[0]!, sorted[Math.floor(sorted.length / 2)]!, sorted.at(-1)!];
  const digits = middle < 100 ? 2 : 0;
  return `${middle.toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}

const clients = Object.entries({ engine, rhea: rheaClient }).filter(([name]) => values.only === undefined || values.only === name);
const server = await BenchServer.start();
const samples = new Map<string, Sample[]>(clients.map(([name]) => [name, []]));
for (const [, client] of clients) await measure(server, client);
for (let repeat = 0; repeat < repeats; repeat++) {
  for (const [name, client] of clients) samples.get(name)!.push(await measure(server, client));
}
await server.stop();
console.log(`receive and complete, peek-lock, 256-byte bodies, credit ${credit}; median (range) of ${repeats} runs of ${messages}`);
for (const [name, list] of samples) {
  console.log(`${name.padEnd(7)} client ${median(list, (s) => s.clientUs)} µs CPU a message   server ${median(list, (s) => s.serverUs)} µs   ${median(list, (s) => s.perSecond)} messages/s`);
}
