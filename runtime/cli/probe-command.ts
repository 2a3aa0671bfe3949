/** `holdfast probe`, and its options. */
import type { Command } from "commander";
import { integer, several } from "./arguments.ts";
import { exitCodes } from "./exit-codes.ts";
import type { ProbeOptions } from "./probe.ts";

const timeoutSecondsDefault = 60;

export function addProbeCommand(program: Command): void {
  program
    .command("probe")
    .description("have a worker send an event of its own the whole way, from its queue to its settlement, and say how long each stage took")
    .option("-c, --config <file>", "configuration file; tells where the worker of this machine listens")
    .option("--at <url>", "the admin server of the worker that sends it", several, [])
    .option("--token-file <file>", "holds the bearer token to show")
    .option("--source <name>", "the source that it is sent to; needed where there are several")
    .option("--reason <text>", "why, for the worker's audit", "asked for on the command line")
    .option("--timeout <seconds>", "how long to wait for it", integer, timeoutSecondsDefault)
    .option("--json", "print JSON")
    .action(async (options: ProbeOptions) => {
      const isWell = await (await import("./probe.ts")).probe(options);
      if (!isWell) process.exitCode = exitCodes.failed;
    });
}
