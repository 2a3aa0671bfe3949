/** `holdfast scale`, and its options. */
import type { Command } from "commander";
import { count, integer, several } from "./arguments.ts";
import type { ScaleOptions } from "./scale.ts";

export function addScaleCommand(program: Command): void {
  program
    .command("scale")
    .description("how many workers the pool should have, asked of the admin servers of those that run, and what keeps them from doing more")
    .option("-c, --config <file>", "configuration file; tells where the worker of this machine listens")
    .option("--at <url>", "an admin server; of a name that has several addresses, all of them; may be given several times", several, [])
    .option("--token-file <file>", "holds the bearer token to show")
    .option("--min <n>", "never say fewer", count, 0)
    .option("--max <n>", "never say more", integer, 1_000)
    .option("--json", "print JSON")
    .action(async (options: ScaleOptions) => (await import("./scale.ts")).scale(options));
}
