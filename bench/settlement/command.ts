import type { Command } from "commander";
import { atLeast, scenarioCommand, runs } from "../support/command.ts";

export function settlementCommand(): Command {
  const command = scenarioCommand(
    {
      name: "settlement",
      summary: "whether each message ends as it was settled, at full speed, by the broker's own record",
      about: `Every message is given an outcome at random (half are completed, the others dead-lettered, deferred, or abandoned and completed when they are redelivered), in the same ticks as its neighbours. Afterwards the broker's own record of each message is compared with what was asked for.

Holdfast's AMQP transport goes first, then the SDK used plainly: subscribe with 500 concurrent calls, each of which settles its own message. The SDK's client library merges outcomes that share a tick, also those that differ, and reports each of them as done.`,
    },
    ["wrong"],
  )
    .option("--messages <n>", "messages for each of the two", atLeast(1), 200_000)
    .option("--seed <n>", "seed of the outcomes; the same seed chooses the same", atLeast(0), 1);
  return runs(command, () => import("./run.ts"));
}
