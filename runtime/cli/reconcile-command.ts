/** `holdfast reconcile`, and its options. */
import type { Command } from "commander";
import { duration, integer } from "./arguments.ts";
import { withBy } from "./by-hand.ts";
import { exitCodes } from "./exit-codes.ts";
import type { ReconcileCommandOptions } from "./reconcile-options.ts";

const quietForDefaultMs = 600_000;

export function addReconcileCommand(program: Command): void {
  withBy(program.command("reconcile"))
    .description("find runs' records and messages that disagree: says how it would mend them, unless --apply is given")
    .option("-c, --config <file>", "configuration file; gives broker, sources and store")
    .option("--source <name>", "of this source alone (default: of all)")
    .option("--forwarded-to <queue>", "look for dead letters in this queue, which the consumer's are forwarded to")
    .option("--json", "print JSON")
    .option("--apply", "mend them")
    .option("--quiet-for <time>", "leave alone what was written in this time (default: 10m); longer than the lock duration", duration, quietForDefaultMs)
    .option("--peek <n>", "messages to look at in each queue", integer, 100_000)
    .option("--limit <n>", "disagreements to show; all are counted and mended", integer, 50)
    .action(async (options: ReconcileCommandOptions) => {
      const agrees = await (await import("./reconcile.ts")).reconcile(options);
      if (!agrees) process.exitCode = exitCodes.failed;
    });
}
