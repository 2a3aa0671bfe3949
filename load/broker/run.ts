// What `holdfast broker` does: reads what it was given, runs the broker, says how to reach it, and stops when it is told to.
import { readFile } from "node:fs/promises";
import { flushCompileCache } from "node:module";
import { type Broker, startBroker } from "./broker.ts";
import type { BrokerFlags, BrokerReady } from "./command.ts";
import { withoutComments } from "./entities/config.ts";
import type { Certificate } from "./security/certificate.ts";
import type { AccessKey } from "./security/tokens.ts";

/** Runs a broker until the process is told to stop. */
export async function runBroker(flags: BrokerFlags): Promise<void> {
  if (flags.data === undefined && (flags.sync || flags.repair)) throw new Error(`expected --data with ${flags.sync ? "--sync" : "--repair"}, found none; say in which folder messages are to be kept`);
  const entities = await readConfig(flags);
  const tls = await readCertificate(flags);
  const broker = await startBroker({
    ...(flags.key === undefined ? {} : { keys: flags.key.map(keyOf) }),
    ...(tls === undefined ? {} : { tls }),
    ...(flags.data === undefined ? {} : { data: flags.data, journal: { isSynced: flags.sync, repairs: flags.repair } }),
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
  // What was compiled for this start is kept for the next one, even if this process is killed.
  flushCompileCache();
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
