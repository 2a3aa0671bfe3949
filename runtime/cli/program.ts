/** The subcommands. Each loads only what it needs. */
import { Argument, Command, Option } from "commander";
import { helpHint, integer, required, several } from "./arguments.ts";
import { carryOut, ofTheRuntime } from "./carry-out.ts";
import type { Shell } from "./completion.ts";
import type { ConfigOptions } from "./config.ts";
import { addContractsCommand } from "./contracts-command.ts";
import { addDebugCommand } from "./debug-command.ts";
import { addDlqCommand } from "./dlq-command.ts";
import { addProbeCommand } from "./probe-command.ts";
import { addReconcileCommand } from "./reconcile-command.ts";
import { addRunsCommand } from "./runs-command.ts";
import { addMcpCommand } from "./mcp-command.ts";
import { addScaleCommand } from "./scale-command.ts";
import type { InitOptions } from "./init.ts";
import type { NewSkillOptions } from "./new-skill.ts";
import { exitCodes } from "./exit-codes.ts";
import type { SendOptions } from "./send.ts";
import type { StartOptions } from "./start.ts";
import { ownVersion } from "../adapters/system/version.ts";

function isWorkerCommand(name: string | undefined): boolean {
  // Completion knows them all.
  return name !== undefined && name !== "completion" && program.commands.some((command) => command.name() === name);
}

const setHelp = "set a key of the configuration, before file and environment; may be repeated";

const program = new Command("holdfast")
  .description("A worker runtime for Azure Service Bus: de-duplicated, bulkheaded, checkpointed, and settled without losing a message.")
  .version(ownVersion(), "-V, --version", "print the version")
  .showHelpAfterError(helpHint)
  .addHelpText(
    "afterAll",
    `\nexit codes: ${exitCodes.good} done; ${exitCodes.failed} it found or met something wrong; ${exitCodes.usage} wrong use or configuration; ${exitCodes.restart} a worker asks to be restarted; ${exitCodes.forced} ended by a second signal`,
  )
  .configureHelp({ sortSubcommands: false });

program
  .command("start")
  .description("run the worker until SIGTERM or Ctrl-C")
  .option("-c, --config <file>", "configuration file (default: holdfast.config.{ts,mjs,js,json,yaml,yml})")
  .option("--set <key=value>", setHelp, several, [])
  .addOption(new Option("--log <format>", "how log lines are written (default: pretty on a terminal, else json)").choices(["pretty", "json"]))
  .action(async (options: StartOptions) => (await import("./start.ts")).start(options));

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
  .option("--set <key=value>", setHelp, several, [])
  .option("--json", "print JSON")
  .action(async (options: { config?: string; json?: boolean; set: readonly string[] }) => {
    const healthy = await (await import("./doctor.ts")).doctor(options);
    if (!healthy) process.exitCode = exitCodes.failed;
  });

program
  .command("config")
  .description("show what the configuration says, and where each value comes from: file, environment, flag or default")
  .option("-c, --config <file>", "configuration file")
  .option("--set <key=value>", setHelp, several, [])
  .option("--json", "print JSON")
  .option("--schema", "print the configuration's JSON Schema instead, for editors")
  .action(async (options: ConfigOptions) => (await import("./config.ts")).config(options));

program
  .command("send")
  .description("send events to a queue or topic")
  .option("-c, --config <file>", "configuration file; gives the broker and the entity")
  .option("--source <name>", "send to this source of the configuration; needed where there are several")
  .option("--connection-string <text>", "broker, instead of a configuration")
  .option("--entity <name>", "queue or topic (default: the one the configuration reads)")
  .option("--example <name>", "an event kept beside its skill: examples/NAME.json in the folder of a plugin; or a file like that")
  .option("--event-type <type>", "event type (required without --example)")
  .option("--event-version <version>", "schema version, major.minor", "1.0")
  .option("--event-id <id>", "event id (default: a new one for each); the same id and payload again is a duplicate")
  .option("--payload <json>", "payload as JSON, or @FILE", "{}")
  .option("--no-check", "send it also where its contract refuses the payload")
  .option("--timestamp <iso>", "time of the event (default: now)")
  .option("--project <id>", "project id", "local")
  .option("--session <id>", "the session that the events belong to; needed where the entity requires sessions")
  .option("--count <n>", "how many", integer, 1)
  .option("--json", "print event ids, message ids and sequence numbers as JSON")
  .action(async (options: Partial<SendOptions> & { readonly example?: string }, command: Command) => {
    const example = options.example === undefined ? undefined : await (await import("./send-example.ts")).readExample(options.example, options.config);
    const eventType = required(command, "--event-type <type>", options.eventType ?? example?.eventType);
    const { send, withExample } = await import("./send.ts");
    const isGiven = (name: string): boolean => command.getOptionValueSource(name) === "cli";
    await send({ ...withExample(options as SendOptions, example ?? {}, isGiven), eventType });
  });

program
  .command("postgres")
  .description("the table of transactional steps in your own PostgreSQL")
  .addCommand(
    new Command("migration")
      .description("print the statements that make the table; give them to psql, or to what else migrates your database")
      .option("--table <name>", "the table, or schema.table (default: holdfast_steps)")
      .action(async ({ table }: { table?: string }) => {
        const { migration } = await import("../postgres/index.ts");
        (await import("./output.ts")).writeResult(migration(table));
      }),
  );

program
  .command("init")
  .argument("<folder>", "where the project is made; its last part is the project's name")
  .description("make a project: a configuration, a skill with its test, an image, a workflow")
  .addOption(new Option("--test <runner>", "what runs the tests").choices(["node", "vitest"]).default("node"))
  .option("--no-install", "leave 'npm install' to you")
  .action(async (folder: string, options: InitOptions) => (await import("./init.ts")).init(folder, options));

program
  .command("new")
  .description("make a part of a project")
  .addCommand(
    new Command("skill")
      .argument("<name>", "of the skill and its folder in plugins/, such as order-refund")
      .description("make a skill with its test, and an event to try it with")
      .option("--event <type>", "type of the event that it handles, such as RefundRequested (required)")
      .option("--dependency <name>", "a service that it calls over HTTP")
      .showHelpAfterError(helpHint)
      .action(async (name: string, { event, dependency }: Partial<NewSkillOptions>, command: Command) => {
        const type = required(command, "--event <type>", event);
        (await import("./new-skill.ts")).newSkill(name, { event: type, dependency });
      }),
  );

program
  .command("completion")
  .description("print a script that has a shell complete commands and options")
  .addArgument(new Argument("<shell>", "the shell").choices(["bash", "zsh", "fish"]))
  .action(async (shell: Shell) => (await import("./completion.ts")).completion(program, shell));

addContractsCommand(program);
addDlqCommand(program);
addDebugCommand(program);
addRunsCommand(program);
addReconcileCommand(program);
addScaleCommand(program);
addProbeCommand(program);
addMcpCommand(program);

/** Carries out what the arguments say; sets the exit code when that fails. */
export async function runProgram(): Promise<void> {
  // A worker in production never loads what stands in load/.
  if (!isWorkerCommand(process.argv[2])) await wholeProgram();
  await carryOut(program, ofTheRuntime);
}

/** All that it knows, the commands of trials among it. Call it once. */
export async function wholeProgram(): Promise<Command> {
  await (await import("./dev.ts")).addDevCommand(program);
  await (await import("./broker.ts")).addBrokerCommand(program);
  return program;
}
