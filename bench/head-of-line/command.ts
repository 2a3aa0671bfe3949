import type { Command } from "commander";
import { runs, scenarioCommand } from "../support/command.ts";

export function headOfLineCommand(): Command {
  const command = scenarioCommand({
    name: "head-of-line",
    summary: "throughput of the rest while one message is held for seconds",
    about: `A queue is drained twice by each contender: once as it is, and once with a message within it whose handler takes seconds. What is measured is the rate of all others while that one is held, of the rate without it. A client that frees its buffer from the head alone, or that waits for a batch to end, stalls.`,
  });
  return runs(command, () => import("./run.ts"));
}
