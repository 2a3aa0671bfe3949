import type { Command } from "commander";
import { atLeast, benchCommand, namesOf, runs } from "../support/command.ts";
import { rows } from "./rows.ts";

const width = Math.max(...rows.map(({ name }) => name.length));

export function transportCommand(): Command {
  const command = benchCommand({
    name: "transport",
    summary: "CPU to receive and complete a message: our transports beside the SDK and rhea",
    about: `Receives and completes small messages under peek-lock from the local broker, and reports the client's CPU time a message, the broker's, and the speed.

Every row has a client process of its own, and all use one broker process. The queue is filled before the client's turn. Rows take turns, round after round, and the first round is dropped; the ratio to the SDK is taken round by round. Connecting and closing is part of a turn.

${rows.map(({ name, what }) => `  ${name.padEnd(width)}  ${what}`).join("\n")}`,
  })
    .option("--rounds <n>", "rounds that count", atLeast(1), 3)
    .option("--messages <n>", "messages a turn of the amqp rows", atLeast(1), 200_000)
    .option("--peer-messages <n>", "messages a turn of all other rows, which are slower", atLeast(1), 30_000)
    .option("--body <bytes>", "size of a message's body", atLeast(1), 256)
    .option("--only <names>", "these rows alone, separated by commas", namesOf(rows.map(({ name }) => name)));
  return runs(command, () => import("./run.ts"));
}
