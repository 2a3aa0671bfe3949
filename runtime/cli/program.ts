/** The subcommands. Each loads only what it needs. */
import { Command, InvalidArgumentError } from "commander";
import { ConfigurationError, HoldfastError } from "../core/errors.ts";
import { redact } from "../core/redact.ts";
import type { SendOptions } from "./send.ts";

const exitFailure = 1;
const exitUsage = 2;

function integer(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError(`expected a whole number of 1 or more, got '${text}'.`);
  return value;
}

function isWorkerCommand(name: string | undefined): boolean {
  return name !== undefined && program.commands.some((command) => command.name() === name);
}

const program = new Command("holdfast")
  .description("A worker runtime for Azure Service Bus: de-duplicated, bulkheaded, checkpointed, and settled without losing a message.")
  .showHelpAfterError()
  .configureHelp({ sortSubcommands: false });

program
  .command("start")
  .description("run the worker until SIGTERM or Ctrl-C")
  .option("-c, --config <file>", "configuration file (default: holdfast.config.{ts,mjs,js,json})")
  .action(async (options: { config?: string }) => (await import("./start.ts")).start(options));

program
  .command("skills")
  .description("list what is registered, from where and why")
  .option("-c, --config <file>", "configuration file")
  .option("--json", "print JSON")
  .action(async (options: { config?: string; json?: boolean }) => (await import("./skills.ts")).skills(options));

program
  .command("doctor")
  .description("check what the worker needs: broker, entity, store, clocks, plugins")
  .option("-c, --config <file>", "configuration file")
  .option("--json", "print JSON")
  .action(async (options: { config?: string; json?: boolean }) => {
    const healthy = await (await import("./doctor.ts")).doctor(options);
    if (!healthy) process.exitCode = exitFailure;
  });

program
  .command("send")
  .description("send events to a queue or topic")
  .option("-c, --config <file>", "configuration file; gives the broker and the entity")
  .option("--connection-string <text>", "broker, instead of a configuration")
  .option("--entity <name>", "queue or topic (default: the one the configuration reads)")
  .requiredOption("--event-type <type>", "event type")
  .option("--event-version <version>", "schema version, major.minor", "1.0")
  .option("--event-id <id>", "event id (default: a new one for each); the same id and payload again is a duplicate")
  .option("--payload <json>", "payload as JSON, or @FILE", "{}")
  .option("--timestamp <iso>", "time of the event (default: now)")
  .option("--project <id>", "project id", "local")
  .option("--count <n>", "how many", integer, 1)
  .action(async (options: SendOptions) => (await import("./send.ts")).send(options));

/** Carries out what the arguments say; sets the exit code when that fails. */
export async function runProgram(): Promise<void> {
  // A worker in production never loads what stands in load/.
  if (!isWorkerCommand(process.argv[2])) {
    await (await import("./dev.ts")).addDevCommand(program);
    await (await import("./broker.ts")).addBrokerCommand(program);
  }
  try {
    await program.parseAsync();
  } catch (error) {
    // What a user can mend says so in its message; anything else is a defect, and its stack tells where.
    const isMendable = error instanceof HoldfastError || (error instanceof Error && process.argv[2] === "broker");
    if (!isMendable) throw error;
    process.stderr.write(`holdfast: ${redact(error.message)}\n`);
    process.exitCode = error instanceof HoldfastError && !(error instanceof ConfigurationError) ? exitFailure : exitUsage;
  }
}
