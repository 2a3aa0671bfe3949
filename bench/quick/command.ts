import { type Command, Option } from "commander";
import { atLeast, benchCommand, runs } from "../support/command.ts";

export function quickCommand(): Command {
  const command = benchCommand({
    name: "quick",
    summary: "throughput of the whole worker beside the bare SDK's receive and complete",
    about: `How much speed is left when a message also goes through de-duplication, admission, a thread with a skill that does nothing, the done mark and settlement. The other side is the least a worker can do with the SDK: receive 500, complete all, receive the next.

Both drain a queue that was filled before, each in a process of its own, in turns. The broker's account is the only clock, and the first third of each turn (connecting, starting threads, compiling) is not counted. Runs are kept in Redis where REDIS_URL is set, otherwise in SQLite.`,
  })
    .option("--rounds <n>", "rounds", atLeast(1), 3)
    .option("--messages <n>", "messages a turn", atLeast(1_000), 60_000)
    .addOption(
      new Option("--transport <kind>", "what the worker speaks to the broker with: our own AMQP, or the SDK").choices(["amqp", "sdk"]).default("amqp"),
    );
  return runs(command, () => import("./run.ts"));
}
