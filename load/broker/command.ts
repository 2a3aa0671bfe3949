// `holdfast broker`: runs a local Service Bus until it is asked to stop.
//
// This file is loaded to tell what can be asked; what it takes to do it is loaded when it is asked for.
import type { Command } from "commander";
import { orSayWhy, registerControlCommands } from "./control/commands.ts";
import type { BrokerFlags, TakeOver } from "./flags.ts";

/** In 80 columns. */
const help = `
Examples:
  holdfast broker --queue orders --topic news/audit
  holdfast broker --config Config.json --data ./broker-data
  holdfast broker --host 0.0.0.0 --keys keys.json
  holdfast broker inspect orders
  holdfast broker fault add throttle --target orders --rate 0.2

Entities, in a file or as JSON:
  { "queues": ["orders", { "name": "steps", "requiresSession": true }],
    "topics": [{ "name": "news", "subscriptions": ["audit"] }] }
  Settings: lockDurationMs, deliveryCountMax, timeToLiveMs, deadLetterOnExpiry,
  requiresSession, requiresDuplicateDetection, duplicateWindowMs, forwardTo,
  forwardDeadLettersTo, ...; an unknown one is refused with a list of all.

Keys: each is good for some rights (Listen, Send, Manage), everywhere or at one
  entity: --key 'name=key;rights=Listen,Send;entity=orders', or in a file
  [{ "name": "pool", "key": "...", "rights": ["Listen"], "entity": "orders" }].
  Without keys the emulator's key is taken, and none is asked for. With keys,
  inspect and fault want HOLDFAST_BROKER or --connection-string.

Durability, with --data: what was confirmed to a client was in the system's
  hands before: kill -9 loses nothing of it, and brings nothing back that was
  settled. A power cut may cost the last seconds, unless --sync has every write
  put on the disk first. Locks end with the process: what was locked is redelivered
  and counts one more try. Totals start at zero. What was made or changed of
  entities at run time stays, until --config says something new about them.

TLS, on the same port, with the broker's own certificate:
  curl -s http://127.0.0.1:5672/certificate -o broker.pem
  NODE_EXTRA_CA_CERTS=broker.pem node client.js
  and leave UseDevelopmentEmulator out of the connection string.`;

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

export function registerBrokerCommand(program: Command, takeOver: TakeOver): void {
  const broker = program
    .command("broker")
    .description("run a local Service Bus, for development and tests")
    .showHelpAfterError("`holdfast broker --help` lists what can be asked")
    .option("--port <number>", "port for AMQP, TLS and HTTP, distinguished by their first byte; 0 = a free one", "5672")
    .option("--host <address>", "address to listen on; others than this machine's need keys", "127.0.0.1")
    .option("--control-port <number>", "a port for the HTTP control endpoint alone; 0 = a free one")
    .option("--queue <name>", "a queue; can be repeated", collect)
    .option("--topic <name/subscription>", "a topic with a subscription; can be repeated", collect)
    .option("--config <file>", "entities: the emulator's Config.json, or { queues, topics }")
    .option("--entities <json>", "entities as JSON, in place of a file")
    .option("--data <folder>", "keep messages over a restart (default: in memory alone)")
    .option("--sync", "with --data: what is confirmed outlasts a power cut, too; slower")
    .option("--repair", "with --data: use what is whole in a damaged file; it is kept beside")
    .option("--key <name=key>", "let in only who has a key; can be repeated (default: the emulator's key, or none)", collect)
    .option("--keys <file>", "the same from a file")
    .option("--tls-cert <file>", "certificate for TLS, PEM (default: one is made; GET /certificate returns it)")
    .option("--tls-key <file>", "its key, PEM")
    .option("--strict", "hold entities and clients to the emulator's own bounds")
    .option("--relaxed", "lift Azure's bounds on settings: locks over 5 minutes, ...; for tests")
    .option("--record", "keep every message id's outcomes, for checkers")
    .addHelpText("after", help)
    .action((flags: BrokerFlags) =>
      orSayWhy(async () => {
        const { runBroker } = await import("./run.ts");
        await runBroker(flags, takeOver);
      }),
    );
  registerControlCommands(broker);
}
