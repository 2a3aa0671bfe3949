import { Command } from "commander";
import { atLeast, helpWidth, runs } from "../../support/command.ts";

export function debugCommand(): Command {
  const command = new Command("debug")
    .summary("dead letters that a drill has left are gone through again: the same failure on the same line, and nobody outside is asked")
    .description(
      `Two workers share one Redis and the local broker; events of every kind stream in, one kind with a mistake planted in its skill, and workers are killed with SIGKILL meanwhile. Then dead letters of each kind and reason are gone through by 'holdfast debug', each in a process of its own. Each must come to the failure that is on record, in the same step on the same line; every call must have a key that the ledger of the dependency knows; and ledger, store and queues must stay as they are. What is written of a planted mistake must be a test that fails, and passes once the skill is mended.`,
    )
    .configureHelp({ helpWidth })
    .option("--seconds <n>", "that events stream in for", atLeast(2), 12)
    .option("--kills <n>", "workers that are killed meanwhile", atLeast(0), 2)
    .option("--letters <n>", "dead letters of each kind and reason that are gone through", atLeast(1), 5)
    .option("--seed <n>", "of the events, and of whom is killed when", atLeast(1), 1)
    .option("--json", "print the figures as JSON");
  return runs(command, () => import("./run.ts"));
}
