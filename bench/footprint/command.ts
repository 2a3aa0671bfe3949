import { type Command, Option } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function footprintCommand(): Command {
  const command = scenarioCommand(
    {
      name: "footprint",
      summary: "memory of a worker that waits for messages, and the time to its start",
      about: `The worker as it is published (it is built first), with one skill that does nothing and imports the runtime alone, reads an empty queue: with one thread, and with three.

Resident is what a container is charged for the process, with the pages of Node's own file that it has touched; proportional counts those that other processes have too by their part. Both are read when the worker has been idle for some seconds. A further thread is half of what three take above one. The time runs from the start of the process until it takes messages; the first start of each is dropped, for it compiles.

Runs are kept in Redis where REDIS_URL is set, otherwise in SQLite, whose thread then counts too.`,
    },
    [],
  )
    .option("--rounds <n>", "starts of each that are counted; default 5, with --quick 1", atLeast(1))
    .addOption(
      new Option("--transport <kind>", "what the worker speaks to the broker with: our own AMQP, or the SDK").choices(["amqp", "sdk"]).default("amqp"),
    );
  return runs(command, () => import("./run.ts"));
}
