import { Command } from "commander";
import { atLeast, helpWidth, runs } from "../../support/command.ts";

export function replayCommand(): Command {
  const command = new Command("replay")
    .summary("dead letters of four kinds, two of them mended, are replayed while replays and workers are killed")
    .description(
      `Events of four kinds fail in a worker of a queue, and in one of a subscription beside which another one exists. Two kinds are mended. Then everything is replayed, again and again: replays and workers are killed with SIGKILL at random moments of it. In the end every mended event must have completed with each of its effects once, and be out of the dead-letter queue; the others must have been stopped by their canaries and lie there still; the other subscription must have seen nothing.`,
    )
    .configureHelp({ helpWidth })
    .option("--letters <n>", "dead letters, of the queue and of the subscription each", atLeast(40), 1_000)
    .option("--kills <n>", "kills, on the queue and on the subscription each", atLeast(1), 10)
    .option("--seed <n>", "of the random moments", atLeast(1), 1)
    .option("--json", "print the figures as JSON");
  return runs(command, () => import("./run.ts"));
}
