/** `holdfast dev`: a broker, dependencies, a worker and a stream of real events on one machine, and the account of it. */
import { type Command, InvalidArgumentError } from "commander";
import { type TransportKind, transportDefault } from "#runtime/core/config.ts";
import { several } from "#runtime/cli/arguments.ts";
import { checkPackagesOfTrials } from "./dev/packages.ts";
import type { PluginDevOptions } from "./dev/plugins.ts";
import type { DevOptions } from "./dev/run.ts";

function share(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError(`expected a share from 0 to 1, got '${text}'.`);
  return value;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError(`expected a whole number of 1 or more, got '${text}'.`);
  return value;
}

function dependency(text: string): string {
  const known = ["notifier", "model", "library"];
  if (!known.includes(text)) throw new InvalidArgumentError(`expected one of ${known.join(", ")}, got '${text}'.`);
  return text;
}

function transport(text: string): TransportKind {
  if (text !== "sdk" && text !== "amqp") throw new InvalidArgumentError(`expected amqp or sdk, got '${text}'.`);
  return text;
}

export function registerDevCommand(program: Command): void {
  program
    .command("dev")
    .description("run a whole world on this machine: broker, dependencies, worker and a stream of events")
    .option("--events <n>", "send this many events as fast as the worker takes them, then end (default: a steady stream until Ctrl-C)", count)
    .option("--rate <n>", "events a second of the steady stream", count, 100)
    .option("--duplicates <share>", "share of events that are sent twice", share, 0.02)
    .option("--poison <share>", "share of messages that no worker can use", share, 0.005)
    .option("--seed <n>", "seed of the stream", count, 1)
    .option("--kill-worker-after <share>", "kill the worker when this share of the messages (20000, unless --events says) has ended, and start it again", share)
    .option(
      "--hang <dependency>",
      "let a dependency hang for the second half of the events (20000, unless --events says), and compare the throughput of skills that do not use it",
      dependency,
    )
    .option("--transport <kind>", "speak to the broker with our own client (amqp) or with the official one (sdk)", transport, transportDefault)
    .option("--no-warm-up", "begin with a worker that has not run anything yet: its first events cost several times the CPU of later ones")
    .option("--no-open", "do not open the live page in a browser, as is done at a terminal on a machine with a screen")
    .option("--plugin <folder>", "run this plugin instead, with stand-ins by its stubs.ts, until Ctrl-C; may be repeated", several, [])
    .option("--watch", "with --plugin: begin afresh when a file of it is saved")
    .option("-c, --config <file>", "with --plugin: what says its settings and contracts (default: the nearest holdfast.config.* at the plugin or above it)")
    .option("--set <key=value>", "with --plugin: set a key of its configuration, such as settings.PLUGIN.KEY; may be repeated", several, [])
    .action(async (options: DevOptions & PluginDevOptions, command: Command) => {
      if (options.watch === true && options.plugin.length === 0) command.error("error: option '--watch' needs '--plugin <folder>', which says what is watched");
      if (options.plugin.length > 0) {
        const { runPlugins } = await import("./dev/plugins.ts");
        process.exitCode = await runPlugins(options);
        return;
      }
      if (options.hang !== undefined && options.killWorkerAfter !== undefined)
        command.error(
          "error: expected '--hang' or '--kill-worker-after', got both: the comparison counts by what the worker reports, and a killed one reports no end",
        );
      checkPackagesOfTrials();
      const { runDev } = await import("./dev/run.ts");
      process.exitCode = await runDev(options);
    });
}
