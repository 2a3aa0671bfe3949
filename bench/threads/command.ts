import type { Command } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function threadsCommand(): Command {
  const command = scenarioCommand(
    {
      name: "threads",
      summary: "how much of the CPU is left for skills, by threads and by how many runs are handed over at once",
      about: `Runs of 100 µs and of 1 ms of CPU are kept under way on the worker's threads, without a broker or a store, and are compared with the same work in one run a thread: the efficiency is the time that takes of the time the runs take. More threads than the machine has cores show what sharing costs.`,
    },
    [],
  ).option("--rounds <n>", "rounds; with --quick 2", atLeast(1));
  return runs(command, () => import("./run.ts"));
}
