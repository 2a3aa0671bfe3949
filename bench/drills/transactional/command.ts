import { Command, Option } from "commander";
import { atLeast, helpWidth, runs } from "../../support/command.ts";

export function transactionalCommand(): Command {
  const command = new Command("transactional")
    .summary("effects in a PostgreSQL, exactly once, also when Redis forgets everything")
    .description(
      `Three worker processes share one Redis, the local broker and a PostgreSQL (Debian's, started for the drill). Each event has two transactional steps, which write a row under a unique constraint, one without any, and add to an account that others add to as well; a tenth of the events are sent twice. Workers are killed and started again, all of Redis is emptied twice, and connections to the database are cut at the commit: before the server has it, or before its answer. In the end every message must be completed, each step must have exactly one row in either table, no constraint may have refused anything, and the accounts must hold what was added, once.`,
    )
    .configureHelp({ helpWidth })
    .option("--events <n>", "events", atLeast(10), 3_000)
    .option("--workers <n>", "worker processes", atLeast(1), 3)
    .option("--kills <n>", "workers that are killed", atLeast(0), 10)
    .option("--cut <percent>", "of commits, how many in a hundred are cut", atLeast(0), 4)
    .option("--seed <n>", "of what is cut, and of who is killed when", atLeast(0), 1)
    .addOption(new Option("--transport <kind>", "of the workers").choices(["amqp", "sdk"]).default("amqp"));
  return runs(command, () => import("./run.ts"));
}
