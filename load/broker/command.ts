// `holdfast broker`: runs a local Service Bus until it is told to stop.
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { type Broker, startBroker } from "./broker.ts";
import { orSayWhy, registerControlCommands } from "./control/commands.ts";
import type { Certificate } from "./security/certificate.ts";
import type { AccessKey } from "./security/tokens.ts";
import { withoutComments } from "./entities/config.ts";

interface BrokerFlags {
  readonly port: string;
  readonly host: string;
  readonly controlPort?: string;
  readonly config?: string;
  readonly entities?: string;
  readonly record: boolean;
  readonly strict: boolean;
  readonly key?: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly data?: string;
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
    .option("--data <folder>", "keep messages over a restart (default: in memory alone)")
    .option("--key <name=key...>", "let in only who has one of these keys (default: the emulator's key, or none)")
    .option("--tls-cert <file>", "certificate for TLS, PEM (default: one is made; GET /certificate tells it)")
    .option("--tls-key <file>", "its key, PEM")
    .option("--strict", "hold the emulator's Config.json to the emulator's own bounds", false)
    .option("--record", "keep every message id's outcomes, for checkers", false)
    .action((flags: BrokerFlags) => orSayWhy(() => runBroker(flags)));
  registerControlCommands(broker);
}

async function runBroker(flags: BrokerFlags): Promise<void> {
  const entities = await readConfig(flags);
  const tls = await readCertificate(flags);
  const broker = await startBroker({
    ...(flags.key === undefined ? {} : { keys: flags.key.map(keyOf) }),
    ...(tls === undefined ? {} : { tls }),
    ...(flags.data === undefined ? {} : { data: flags.data }),
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

/** `name=key`; a key may contain further equal signs. */
function keyOf(text: string): AccessKey {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1) throw new Error(`--key: expected name=key, found ${at < 0 ? "no equal sign" : "an empty name or key"}`);
  return { name: text.slice(0, at), key: text.slice(at + 1) };
}

async function readCertificate({ tlsCert, tlsKey }: BrokerFlags): Promise<Certificate | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) throw new Error("expected --tls-cert and --tls-key together, found one of them");
  const [cert, key] = await Promise.all([readFile(tlsCert, "utf8"), readFile(tlsKey, "utf8")]);
  return { cert, key };
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
