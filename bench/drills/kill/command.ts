import { Command, Option } from "commander";
import { atLeast, helpWidth, runs } from "../../support/command.ts";

export function killCommand(): Command {
  const command = new Command("kill")
    .summary("workers killed at random moments while events stream in")
    .description(
      `Three worker processes share one Redis and the local broker; events, duplicates, bad input and critical runs that fail for good stream in, and workers are killed with SIGKILL at random moments and started again. When the queue is empty, what is left is judged from outside, by the broker, the ledgers of the dependencies and the run records: every accepted message ended, as its content calls for, completed or dead-lettered and not both; each recorded effect stands once in the ledgers, and no other; no step was called for after its checkpoint, nor by a worker whose claim had been taken over; the compensations of each critical run are the reverse of what it had committed. Recovery is reported by cause: until the broker's lock ends, nobody else can have the message; what is left is the workers' own time. A run in which few messages completed, or few kills met a worker at work, proves nothing and fails.`,
    )
    .configureHelp({ helpWidth })
    .option("--kills <n>", "workers that are killed", atLeast(1), 50)
    .option("--events <n>", "good events that are sent; a tenth more are duplicates, a hundredth more bad", atLeast(100), 20_000)
    .option("--workers <n>", "worker processes", atLeast(1), 3)
    .option("--seed <n>", "of the events, and of whom is killed when", atLeast(0), 1)
    .addOption(new Option("--transport <kind>", "of the workers").choices(["amqp", "sdk"]).default("amqp"));
  return runs(command, () => import("./run.ts"));
}
