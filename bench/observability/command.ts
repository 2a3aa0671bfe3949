import type { Command } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function observabilityCommand(): Command {
  const command = scenarioCommand({
    name: "observability",
    summary: "what metrics, traces at 1 % and logs at info add to the CPU of a message",
    about: `Messages arrive at half of the rate that the worker drains a queue at with everything off, the same rate whatever is on; what counts is the CPU of the worker's process, all of its threads, a message. With everything off (the log at error), with metrics that are scraped, with traces that are exported to a collector at the ratio of 1 %, with the log at info, and with all of it, in turns of one run: a ratio is always that of two turns of one round. Before anything counts, code is compiled: metrics have been scraped, and spans exported. The collector reads and drops. A skill that does nothing, so that what is added is the largest part that it can be, and one with four steps. Messages that count carry W3C trace ids and nobody's traceparent, as from producers that are not traced. For information the same while a queue is drained, where collector, scraper, broker and store compete with the worker for processors. --quick: everything off and all three, no-op.`,
  }).option("--rounds <n>", "rounds; default 7, with --quick 3", atLeast(1));
  return runs(command, () => import("./run.ts"));
}
