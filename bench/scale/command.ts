import type { Command } from "commander";
import { runs, scenarioCommand } from "../support/command.ts";

export function scaleCommand(): Command {
  const command = scenarioCommand({
    name: "scale",
    summary: "how cost grows: workers, backlog, payload, shards of the store; and what that means for 200 workers",
    about: `A queue of no-ops is drained by 1, 2 and 4 workers, and by one whose records lie on a cluster of three: these stay, and take turns once their code is compiled. Others start when all that they drain waits: a backlog of a thousand to a million, and bodies of 256 bytes to 256 KB. Workers share this machine: what counts is what a message costs each part.

What a message costs each part, how that grows with workers, and what a further script call costs (one Redis and three take turns) goes into a simulation in virtual time: batches of messages go round between broker, workers' main and skill threads, and shards; records lie under hash tags, so that shards are uneven; duplicates find their event at work. It must reproduce the measured 1, 2 and 4 workers, each turn by what a message cost in it, in the median, and their medians by the line of how costs grow with workers, which are gates; and it says what 1 to 200 workers and 1 to 32 shards would do: rate, 99th percentile, and what is busiest at each size. That is simulated, not measured. Its seed is fixed: the same costs give the same figures.`,
  });
  return runs(command, () => import("./run.ts"));
}
