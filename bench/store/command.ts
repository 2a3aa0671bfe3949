import type { Command } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function storeCommand(): Command {
  const command = scenarioCommand(
    {
      name: "store",
      summary: "what a claim and a done mark cost on each run store, what a finished event takes up, and the rate as the store fills",
      about: `Runs are claimed and then marked as done in batches, as the worker does it: on SQLite in memory, in a file, and in a file behind a thread (what the worker uses), and on Redis. Reported is CPU time a run, of the main thread and of the store itself (the other threads of the process, or Redis), and runs a second. The stores take turns, and the first round is dropped. Then a store of each kind is filled with finished events: what one takes up, with and without steps, and what claims and done marks cost while they become many; then some are claimed once more, and what is not known as done fails the run. A Redis of REDIS_URL must be used by nobody else meanwhile; without it, one is started.`,
    },
    ["wrong", "twice"],
  )
    .option("--rounds <n>", "rounds that count; default 7, with --quick 1", atLeast(1))
    .option("--batches <n>", "batches a turn; default 40, with --quick 10", atLeast(2))
    .option("--fill <n>", "finished events up to which a store is filled; default 10000000, with --quick 100000", atLeast(20_000));
  return runs(command, () => import("./run.ts"));
}
