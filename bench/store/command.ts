import type { Command } from "commander";
import { atLeast, benchCommand, runs } from "../support/command.ts";

export function storeCommand(): Command {
  const command = benchCommand({
    name: "store",
    summary: "what a claim and a done mark cost on each run store, what a finished event takes up, and the rate as the store fills",
    about: `Runs are claimed and then marked as done in batches, as the worker does it: on SQLite in memory, in a file, and in a file behind a thread (what the worker uses), and on Redis where REDIS_URL is set. Reported is CPU time a run, of the main thread and of the store itself (the other threads of the process, or Redis), and runs a second. The stores take turns, and the first round is dropped. Then a store of each kind is filled with finished events: what one takes up, with and without steps, and what claims and done marks cost while they become many. Redis must be used by nobody else meanwhile.`,
  })
    .option("--rounds <n>", "rounds that count", atLeast(1), 7)
    .option("--batches <n>", "batches a turn", atLeast(2), 40)
    .option("--fill <n>", "finished events up to which a store is filled", atLeast(20_000), 200_000);
  return runs(command, () => import("./run.ts"));
}
