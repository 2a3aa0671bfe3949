import type { Command } from "commander";
import { atLeast, benchCommand, namesOf, runs } from "../support/command.ts";
import { clientNames } from "./clients.ts";

export function amqpCommand(): Command {
  const command = benchCommand({
    name: "amqp",
    summary: "the bare AMQP engine beside rhea: CPU to receive and complete a message, and to serve it",
    about: `The engine's client and rhea's receive and complete 256-byte messages in peek-lock, reading one application property of each. Both are served by the engine's own server in a child process, which writes header and annotations again for every delivery and has no queue behind it. Reported is CPU time a message on each side, in turns; the first round is dropped. What a broker and a transport add is measured by the bench transport.`,
  })
    .option("--rounds <n>", "rounds that count", atLeast(1), 5)
    .option("--messages <n>", "messages a turn", atLeast(1), 200_000)
    .option("--credit <n>", "messages that a client allows to be on their way", atLeast(2), 1_000)
    .option("--only <names>", "these clients alone, separated by commas", namesOf(clientNames));
  return runs(command, () => import("./run.ts"));
}
