// `holdfast broker`: runs a local Service Bus until it is told to stop.
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { type Broker, startBroker } from "./broker.ts";
import { orSayWhy, registerControlCommands } from "./control/commands.ts";
import { withoutComments } from "./entities/config.ts";

interface BrokerFlags {
  readonly port: string;
  readonly host: string;
  readonly controlPort?: string;
  readonly config?: string;
  readonly entities?: string;
  readonly record: boolean;
  readonly strict: boolean;
}

/** What a parent process is told once the broker listens. */
export interface BrokerReady {
  readonly type: "ready";
  readonly port: number;
  readonly controlPort: number;
  readonly connectionString: string;
}

export function registerBrokerCommand(program: Command): void {
  const broker = program
    .command("broker")
    .description("run a local Service Bus in memory, for development and tests")
    .option("--port <number>", "port for AMQP, and for HTTP by first byte; 0 = a free one", "5672")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--control-port <number>", "a port for the HTTP control endpoint alone; 0 = a free one")
    .option("--config <file>", "entities: the emulator's Config.json, or { queues, topics }")
    .option("--entities <json>", "entities as JSON, in place of a file")
    .option("--strict", "hold the emulator's Config.json to the emulator's own bounds", false)
    .option("--record", "keep every message id's outcomes, for checkers", false)
    .action((flags: BrokerFlags) => orSayWhy(() => runBroker(flags)));
  registerControlCommands(broker);
}

async function runBroker(flags: BrokerFlags): Promise<void> {
  const entities = await readConfig(flags);
  const broker = await startBroker({
    port: portOf("--port", flags.port),
    host: flags.host,
    ...(flags.controlPort === undefined ? {} : { controlPort: portOf("--control-port", flags.controlPort) }),
    ...(entities === undefined ? {} : { entities }),
    record: flags.record,
    strict: flags.strict,
    log: (message) => process.stderr.write(`${message}\n`),
  });
  const stopped = stopSignal();
  announce(broker);
  await stopped;
  await broker.stop();
  if (process.connected) process.disconnect();
}

function announce(broker: Broker): void {
  const { port, controlPort, connectionString } = broker;
  const ready: BrokerReady = { type: "ready", port, controlPort, connectionString };
  if (process.send !== undefined) {
    process.send(ready);
    return;
  }
  const { queues, topics } = broker.inspect();
  const lines = [connectionString, `control: http://${broker.host}:${controlPort}/inspect`];
  for (const { kind, path } of [...Object.values(queues), ...Object.values(topics)]) {
    if (kind !== "deadLetterQueue") lines.push(`${kind}: ${path}`);
  }
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** Resolves when the process is told to stop: by a signal, or by a parent that went away. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
    if (process.send !== undefined) process.once("disconnect", () => resolve());
  });
}

async function readConfig(flags: BrokerFlags): Promise<unknown> {
  if (flags.config !== undefined && flags.entities !== undefined) throw new Error("expected --config or --entities, found both; leave one out");
  if (flags.entities !== undefined) return parse("--entities", flags.entities);
  return flags.config === undefined ? undefined : parse(flags.config, await readFile(flags.config, "utf8"));
}

function parse(where: string, text: string): unknown {
  try {
    return JSON.parse(withoutComments(text)) as unknown;
  } catch (error) {
    throw new Error(`${where}: expected JSON (comments allowed), found ${(error as Error).message}`, { cause: error });
  }
}

function portOf(flag: string, text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`${flag}: expected a port from 0 to 65535, found ${text}`);
  return port;
}
