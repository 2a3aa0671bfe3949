// `holdfast broker`: runs a local Service Bus until it is told to stop.
//
// This file is loaded to tell what can be asked; what it takes to do it is loaded when it is asked for.
import type { Command } from "commander";
import { orSayWhy, registerControlCommands } from "./control/commands.ts";

export interface BrokerFlags {
  readonly port: string;
  readonly host: string;
  readonly controlPort?: string;
  readonly config?: string;
  readonly entities?: string;
  readonly record: boolean;
  readonly strict: boolean;
  readonly key?: readonly string[];
  readonly keys?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly data?: string;
  readonly sync: boolean;
  readonly repair: boolean;
}

/** What a parent process is told once the broker listens. */
export interface BrokerReady {
  readonly type: "ready";
  readonly port: number;
  readonly controlPort: number;
  readonly connectionString: string;
}

const help = `
Examples:
  holdfast broker --entities '{"queues":["orders"],"topics":[{"name":"news","subscriptions":["a"]}]}'
  holdfast broker --config Config.json --data ./broker-data
  holdfast broker --host 0.0.0.0 --keys keys.json --tls-cert cert.pem --tls-key key.pem
  holdfast broker inspect orders
  holdfast broker fault add throttle --target orders --rate 0.2

Entities: { "queues": [name or { "name", settings }], "topics": [{ "name", settings, "subscriptions": [...] }] }.
  Settings: lockDurationMs, deliveryCountMax, timeToLiveMs, deadLetterOnExpiry, requiresSession, forwardTo,
  requiresDuplicateDetection, duplicateWindowMs and others; an unknown one is refused with a list of all.

Keys: --key 'name=key;rights=Listen,Send;entity=orders', or --keys with a file that others cannot read:
  [{ "name": "worker", "key": "...", "rights": ["Listen", "Send"], "entity": "orders" }].
  Rights: Listen, Send, Manage; left out = all. Without keys the emulator's key is taken, and none is asked for.

Durability (--data): what was confirmed (sends, settlements, session state, schedules, rules and entities) is in the
  system's hands before the client hears of it: kill -9 loses nothing of it. A power cut may cost the last
  seconds, unless --sync has each write put on the disk first. Locks end with the process: a message that was locked
  comes again, with one more try on its count. Entities changed at run time stay so until --config says otherwise.

TLS: clients that are to trust the broker's own certificate start with NODE_EXTRA_CA_CERTS=broker.pem, where
  broker.pem comes from \`curl -s http://127.0.0.1:5672/certificate\`, and leave UseDevelopmentEmulator out of the
  connection string.`;

export function registerBrokerCommand(program: Command): void {
  const broker = program
    .command("broker")
    .description("run a local Service Bus, for development and tests")
    .option("--port <number>", "port for AMQP, TLS and HTTP, told apart by their first byte; 0 = a free one", "5672")
    .option("--host <address>", "address to listen on; others than this machine's need keys", "127.0.0.1")
    .option("--control-port <number>", "a port for the HTTP control endpoint alone; 0 = a free one")
    .option("--config <file>", "entities: the emulator's Config.json, or { queues, topics }")
    .option("--entities <json>", "entities as JSON, in place of a file")
    .option("--data <folder>", "keep messages over a restart (default: in memory alone)")
    .option("--sync", "with --data: what is confirmed outlasts a power cut, too; slower", false)
    .option("--repair", "with --data: use what is whole in a damaged file; it is kept beside", false)
    .option("--key <name=key...>", "let in only who has one of these keys (default: the emulator's key, or none)")
    .option("--keys <file>", "the same from a file")
    .option("--tls-cert <file>", "certificate for TLS, PEM (default: one is made; GET /certificate tells it)")
    .option("--tls-key <file>", "its key, PEM")
    .option("--strict", "hold entities and clients to the emulator's own bounds", false)
    .option("--record", "keep every message id's outcomes, for checkers", false)
    .addHelpText("after", help)
    .action((flags: BrokerFlags) =>
      orSayWhy(async () => {
        const { runBroker } = await import("./run.ts");
        await runBroker(flags);
      }),
    );
  registerControlCommands(broker);
}
