import type { Command } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function coldCommand(): Command {
  const command = scenarioCommand({
    name: "cold",
    summary: "from the start of a worker to its first message and to its steady rate",
    about: `A process is started on a queue that is full. What is measured is the time from then until it says that it is ready, until its first event is done, and until the first tenth of a second in which it does four fifths of what it does in the end, for the worker and for the SDK's subscribe and receiveMessages beside it. Then holdfast dev, whose world warms up before it sends, is run: what ends in its first second and in its third is compared with what ends in a second later on, in three trials; in a quick run in as many of them as reach what the gates ask for.`,
  }).option("--rounds <n>", "rounds; with --quick 1", atLeast(1));
  return runs(command, () => import("./run.ts"));
}
