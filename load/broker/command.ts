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
    .option("--sync", "with --data: what is confirmed outlasts a power cut, too; slower", false)
    .option("--repair", "with --data: use what is whole in a damaged file; it is kept beside", false)
    .option("--key <name=key...>", "let in only who has one of these keys (default: the emulator's key, or none)")
    .option("--tls-cert <file>", "certificate for TLS, PEM (default: one is made; GET /certificate tells it)")
    .option("--tls-key <file>", "its key, PEM")
    .option("--strict", "hold the emulator's Config.json to the emulator's own bounds", false)
    .option("--record", "keep every message id's outcomes, for checkers", false)
    .action((flags: BrokerFlags) =>
      orSayWhy(async () => {
        const { runBroker } = await import("./run.ts");
        await runBroker(flags);
      }),
    );
  registerControlCommands(broker);
}

