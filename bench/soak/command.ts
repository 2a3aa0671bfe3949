import type { Command } from "commander";
import { atLeast, scenarioCommand, runs } from "../support/command.ts";

export function soakCommand(): Command {
  const command = scenarioCommand(
    {
      name: "soak",
      summary: "memory of client and broker while ten million messages pass through",
      about: `A client process sends messages to the local broker and receives and completes them at the same time, all on Holdfast's own AMQP: one publisher, one transport. At regular counts it lets what is on its way come to an end; both processes collect their garbage and report their memory. Reported is the memory over time, and how much it grew a message, as the slope of a line through the last four fifths of the readings. What is steady has a slope of about nothing: a byte that is kept of every message would be ten megabytes in the end.`,
    },
    [],
  )
    .option("--messages <n>", "messages that pass through", atLeast(1_000), 10_000_000)
    .option("--readings <n>", "readings of the memory", atLeast(5), 25)
    .option("--body <bytes>", "size of a message's body", atLeast(1), 256);
  return runs(command, () => import("./run.ts"));
}
