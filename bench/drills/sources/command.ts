import { Command } from "commander";
import { atLeast, helpWidth, runs } from "../../support/command.ts";

export function sourcesCommand(): Command {
  const command = new Command("sources")
    .summary("five subscriptions and two queues in one worker, four of them in trouble")
    .description(
      `One worker reads five topics and two queues, all with more than its threads can do. The queues have weights 3 and 1 and runs of different lengths: their shares of the threads' time must be 3 to 1 within a tenth. One subscription has a higher priority: it must get all but about a tenth while it has something. Then a subscription is deleted, one is disabled, one is throttled and one is full of poison, while all others are worked on. In the end every event must have its effect once, be a dead letter, or have gone with the subscription that was deleted. Last, fifty sources that bring nothing: what they cost in memory, beside one.`,
    )
    .configureHelp({ helpWidth })
    .option("--seconds <n>", "how long shares are measured", atLeast(3), 10)
    .option("--events <n>", "events of each source in trouble", atLeast(20), 200)
    .option("--json", "print the figures as JSON");
  return runs(command, () => import("./run.ts"));
}
