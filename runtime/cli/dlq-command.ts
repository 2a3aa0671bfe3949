/** `holdfast dlq`: the commands on dead letters, and their options. */
import { type Command, Option } from "commander";
import { count, integer, required, several } from "./arguments.ts";
import { withBy } from "./by-hand.ts";
import type { DlqOptions, ExportOptions, PurgeOptions, ReplayCommandOptions, ShowOptions } from "./dlq-options.ts";
import { exitCodes } from "./exit-codes.ts";

function withPlace(command: Command): Command {
  return command
    .option("-c, --config <file>", "configuration file; gives broker, sources and store")
    .option("--source <name>", "of this source alone (default: of all, for a change of the one that has what is named)")
    .option("--forwarded-to <queue>", "read this queue, which its dead letters are forwarded to")
    .option("--json", "print JSON");
}

function withSelection(command: Command): Command {
  return withPlace(command)
    .option("--group <fingerprint>", "letters of this group, or of several; the first characters will do", several, [])
    .option("--event <id>", "letters of this event, or of several", several, []);
}

export function addDlqCommand(program: Command): void {
  const dlq = program.command("dlq").description("dead letters of a source: what failed, and getting events back");
  withPlace(dlq.command("groups").description("count dead letters by the failure that they died of")).action(async (options: DlqOptions) =>
    (await import("./dlq.ts")).groups(options),
  );
  withSelection(dlq.command("show").description("show dead letters, and what their runs' records say"))
    .option("--limit <n>", "letters to show", integer, 20)
    .option("--bodies", "show the bodies, too: they are data, and may hold what is private")
    .action(async (options: ShowOptions) => (await import("./dlq.ts")).show(options));
  withSelection(dlq.command("export").description("write dead letters as JSON lines, whole: properties and bodies as they are"))
    .option("--out <file>", "a new file (default: standard output)")
    .action(async (options: ExportOptions) => (await import("./dlq.ts")).exportLetters(options));
  withBy(withSelection(dlq.command("purge").description("delete dead letters for good; the runs' records keep why, and by whom")))
    .option("--all", "all of them")
    .option("--count <n>", "how many there are: must be right, or nothing is deleted (required)", integer)
    .option("--reason <text>", "why; kept in the runs' records (required)")
    .action(async (options: Partial<PurgeOptions>, command: Command) => {
      const count = required(command, "--count <n>", options.count);
      const reason = required(command, "--reason <text>", options.reason);
      const isWhole = await (await import("./dlq.ts")).purge({ ...(options as PurgeOptions), count, reason });
      if (!isWhole) process.exitCode = exitCodes.failed;
    });
  withBy(withSelection(dlq.command("replay").description("bring events back: says what it would do, unless --run is given")))
    .option("--all", "all of them")
    .option("--run", "do it: one letter of each group, then ten, then all, as long as nothing fails")
    .option("--in-background", "with --run: hand it to the workers, which go on with it whatever becomes of one of them")
    .option("--status", "show the replays that were handed to the workers, and what they have come to")
    .addOption(
      new Option("--from <where>", "go on behind the last step, or start over with new idempotency keys")
        .choices(["checkpoint", "start"])
        .default("checkpoint"),
    )
    .option("--repeat-in-doubt", "repeat steps of which nobody knows whether they happened: you have looked, and they did not")
    .option("--patch <json>", "JSON merge patch for the payload, or @FILE that holds one")
    .option("--reason <text>", "why; kept in the runs' records (required where runs are parked)", "")
    .option("--per-second <n>", "replays sent in a second, at most", integer, 50)
    .option("--wait <seconds>", "how long a stage's runs may take", integer, 60)
    .option("--failures-max <n>", "failures of a group that do not stop it", count, 0)
    .action(async (options: ReplayCommandOptions) => {
      const wentWell = await (await import("./dlq-replay.ts")).replay(options);
      if (!wentWell) process.exitCode = exitCodes.failed;
    });
}
