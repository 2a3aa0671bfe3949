/** `holdfast debug`: its options. */
import type { Command } from "commander";
import type { DebugOptions } from "./debug-options.ts";
import { exitCodes } from "./exit-codes.ts";

export function addDebugCommand(program: Command): void {
  program
    .command("debug")
    .description(
      "go through a recorded run again on this machine: its steps and calls answer as they did, and whatever else would reach outside is refused: connections, look-ups, processes, threads, changes of files, native code",
    )
    .argument("<what>", "an event id, a dead letter's sequence number, a group of dead letters, or a file: a line of dlq export, or an event as JSON")
    .option("-c, --config <file>", "configuration file; gives plugins, broker, sources and store")
    .option("--source <name>", "look in this source alone; needed for a file where there are several")
    .option("--forwarded-to <queue>", "look for dead letters in this queue, which they are forwarded to")
    .option("--event <id>", "of a file with several dead letters, the event that is meant")
    .option("--stubs <file>", "a module that exports by default a list of stubs, which answer what is not on record")
    .option("--session-state <json>", "what the event's session had left, or @FILE that holds it: it is not on record")
    .option("--inspect [host:port]", "wait for a debugger before the skill begins (default: 127.0.0.1:9229)")
    .option("--inspect-brk [host:port]", "the same, and pause before the skill's first line")
    .option("--to-test [file]", "write the run down as a test that fails now, and passes once the skill is mended")
    .option("--native", "let native code of plugins in, which nobody can hold back: where it reaches nobody")
    .option("--keep-payload", "with --to-test: write the payload as it is, without redacting what its schema marks")
    .option("--json", "print JSON")
    .action(async (what: string, options: DebugOptions) => {
      const isWhole = await (await import("./debug.ts")).debug(what, options);
      if (!isWhole) process.exitCode = exitCodes.failed;
    });
}
