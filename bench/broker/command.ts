import type { Command } from "commander";
import { atLeast, benchCommand, runs } from "../support/command.ts";

export function brokerCommand(): Command {
  const command = benchCommand({
    name: "broker",
    summary: "what the local broker costs: CPU, latency, memory, start-up",
    about: `Messages with 256-byte bodies are sent in batches of 256 to the local broker, then received and completed 256 at a time: by the SDK, as foreign clients do it, and by Holdfast's own AMQP, which keeps the broker busy all the time. Reported is the broker's CPU time a message, in turns of the two clients; the first round is dropped.

Also: from send to handler while nothing else goes on, both through the SDK; the memory that stored messages take, heap and buffers, after a garbage collection; and the time from spawning \`holdfast broker\` to the line that prints its address.`,
  })
    .option("--rounds <n>", "rounds that count", atLeast(1), 3)
    .option("--messages <n>", "messages a turn of our own AMQP", atLeast(256), 200_000)
    .option("--peer-messages <n>", "messages a turn of the SDK, which is slower", atLeast(256), 50_000)
    .option("--stored <n>", "messages that are stored to see what memory they take", atLeast(1_000), 100_000)
    .option("--pings <n>", "messages that are sent one by one", atLeast(10), 500)
    .option("--starts <n>", "starts of the broker", atLeast(1), 7);
  return runs(command, () => import("./run.ts"));
}
