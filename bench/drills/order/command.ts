import { Command, Option } from "commander";
import { atLeast, helpWidth, runs } from "../../support/command.ts";

export function orderCommand(): Command {
  const command = new Command("order")
    .summary("sessions keep their order while workers, locks and links are lost and messages fail")
    .description(
      `Three worker processes share one Redis, and a queue that requires sessions on the local broker. Messages of many sessions fail now and then, once with onFailure 'block', once with 'skip', where some fail for good; workers are killed and started again; session locks are ended and links detached right after a delivery, connections cut, settlements lost, and completed messages delivered again. For each session the order of effects, as the dependency saw them, must be the order of sending, each once: a call may be repeated only at once, under the same key. Each message must end as its content calls for, each run must find the state that the one before left, and no copy may be made. Then fifty short sessions are worked beside one that does not end, and must take no more than twice the time that they take alone.`,
    )
    .configureHelp({ helpWidth })
    .option("--sessions <n>", "sessions", atLeast(1), 200)
    .option("--messages <n>", "messages of each", atLeast(1), 100)
    .option("--workers <n>", "worker processes", atLeast(1), 3)
    .option("--kills <n>", "workers that are killed, for each policy", atLeast(0), 8)
    .option("--seed <n>", "of what fails, and of who is killed when", atLeast(0), 1)
    .addOption(new Option("--transport <kind>", "of the workers").choices(["amqp", "sdk"]).default("amqp"));
  return runs(command, () => import("./run.ts"));
}
