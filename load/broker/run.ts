// What `holdfast broker` does: reads what it was given, runs the broker, says how to reach it, and stops when asked to.
import { readFile } from "node:fs/promises";
import { flushCompileCache } from "node:module";
import { type Broker, startBroker } from "./broker.ts";
import type { BrokerFlags, BrokerReady, TakeOver } from "./flags.ts";
import { parseJson, textOfBytes } from "./json-text.ts";
import type { Certificate } from "./security/certificate.ts";
import { BrokerUsageError } from "./usage-error.ts";
import { type AccessKey, readKey, readKeys } from "./security/keys.ts";

/** Runs a broker until the process is asked to stop. Before it listens it may be ended at any moment: nothing was confirmed to anyone. */
export async function runBroker(flags: BrokerFlags, takeOver: TakeOver): Promise<void> {
  const { sync = false, repair = false, record = false, strict = false, relaxed = false } = flags;
  if (flags.data === undefined && (sync || repair))
    throw new BrokerUsageError(`expected --data with ${sync ? "--sync" : "--repair"}, found none; say in which folder messages are to be kept`);
  const [entities, tls, keys] = await Promise.all([readConfig(flags), readCertificate(flags), readAllKeys(flags)]);
  const broker = await startOrSayWhy({
    ...(keys === undefined ? {} : { keys }),
    ...(tls === undefined ? {} : { tls }),
    ...(flags.data === undefined ? {} : { data: flags.data, journal: { isSynced: sync, repairs: repair } }),
    port: portOf("--port", flags.port),
    host: flags.host,
    ...(flags.controlPort === undefined ? {} : { controlPort: portOf("--control-port", flags.controlPort) }),
    ...(entities === undefined ? {} : { entities }),
    record,
    strict,
    relaxed,
    log: (message) => process.stderr.write(`${message}\n`),
  });
  const stopped = new Promise<void>((resolve) => {
    takeOver({ stop: () => resolve(), say: (text) => process.stderr.write(`${text}\n`) });
  });
  announce(broker, flags);
  // What was compiled for this start is kept for the next one, even if this process is killed.
  flushCompileCache();
  await stopped;
  await broker.stop();
  if (process.connected) process.disconnect();
}

async function startOrSayWhy(options: Parameters<typeof startBroker>[0] & { port: number }): Promise<Broker> {
  try {
    return await startBroker(options);
  } catch (error) {
    const { code, port } = error as NodeJS.ErrnoException & { port?: number };
    if (code !== "EADDRINUSE") throw error;
    throw new Error(`expected port ${port} to be free, found somebody listening there, perhaps another broker; choose another with --port, or 0 for any`, {
      cause: error,
    });
  }
}

function announce(broker: Broker, { data, sync }: BrokerFlags): void {
  const { port, controlPort, connectionString, connectionStringShown } = broker;
  const ready: BrokerReady = { type: "ready", port, controlPort, connectionString };
  if (process.send !== undefined) {
    process.send(ready);
    return;
  }
  const control = `http://${broker.host.includes(":") ? `[${broker.host}]` : broker.host}:${controlPort}`;
  const { queues, topics } = broker.inspect();
  const lines = [
    connectionStringShown,
    `control: ${control}/inspect`,
    `messages: ${data === undefined ? "in memory, gone when it stops" : `kept in ${data}${sync === true ? ", synced" : ""}`}`,
  ];
  lines.push(`certificate for TLS: ${control}/certificate (for NODE_EXTRA_CA_CERTS)`);
  const all = [...Object.values(queues), ...Object.values(topics)].filter(({ kind }) => kind !== "deadLetterQueue");
  for (const { kind, path } of all) lines.push(`${kind}: ${path}`);
  if (all.length === 0) lines.push("no entities yet: give --queue, --topic or --config");
  process.stdout.write(`${lines.join("\n")}\n`);
}

async function readConfig({ config, entities, queue = [], topic = [] }: BrokerFlags): Promise<unknown> {
  const ways = [
    ...(config === undefined ? [] : ["--config"]),
    ...(entities === undefined ? [] : ["--entities"]),
    ...(queue.length + topic.length === 0 ? [] : ["--queue and --topic"]),
  ];
  if (ways.length > 1) throw new BrokerUsageError(`expected one way to say which entities there are, found ${ways.join(" beside ")}; leave the others out`);
  if (entities !== undefined) return parse("--entities", entities);
  if (config !== undefined) return parse(config, await readText("--config", config));
  return { queues: queue, topics: topicsOf(topic) };
}

/** `news/audit` is a subscription of `news`; a name alone is a topic that has none yet. */
function topicsOf(texts: readonly string[]): { readonly name: string; readonly subscriptions: string[] }[] {
  const topics = new Map<string, string[]>();
  for (const text of texts) {
    const at = text.lastIndexOf("/");
    const name = at < 0 ? text : text.slice(0, at);
    const subscriptions = topics.get(name) ?? [];
    topics.set(name, subscriptions);
    if (at >= 0) subscriptions.push(text.slice(at + 1));
  }
  return [...topics].map(([name, subscriptions]) => ({ name, subscriptions }));
}

async function readAllKeys({ key = [], keys }: BrokerFlags): Promise<AccessKey[] | undefined> {
  if (key.length === 0 && keys === undefined) return undefined;
  const listed = keys === undefined ? [] : readKeys(`--keys ${keys}`, await readText("--keys", keys));
  return [...listed, ...key.map((text) => readKey("--key", text))];
}

async function readCertificate({ tlsCert, tlsKey }: BrokerFlags): Promise<Certificate | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) throw new BrokerUsageError("expected --tls-cert and --tls-key together, found one of them");
  const [cert, key] = await Promise.all([readText("--tls-cert", tlsCert), readText("--tls-key", tlsKey)]);
  const { checkCertificate } = await import("./security/certificate.ts");
  checkCertificate({ cert, key });
  return { cert, key };
}

async function readText(flag: string, path: string): Promise<string> {
  try {
    return textOfBytes(await readFile(path));
  } catch (error) {
    throw new BrokerUsageError(`${flag}: expected a file that can be read, found ${(error as Error).message}`, { cause: error });
  }
}

function parse(where: string, text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new BrokerUsageError(`${where}: expected JSON (comments and last commas allowed), found ${(error as Error).message}`, { cause: error });
  }
}

function portOf(flag: string, text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new BrokerUsageError(`${flag}: expected a port from 0 to 65535, found ${text}`);
  return port;
}
