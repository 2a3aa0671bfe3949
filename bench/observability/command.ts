import type { Command } from "commander";
import { atLeast, runs, scenarioCommand } from "../support/command.ts";

export function observabilityCommand(): Command {
  const command = scenarioCommand({
    name: "observability",
    summary: "what metrics, traces at 1 % and logs at info add to the CPU of a message",
    about: `Two workers run beside each other, each with a queue of its own and the same rate, a fifth of what one drains: one with everything off (the log at error), the other with metrics that are scraped, with traces that are exported to a collector at the ratio of 1 %, with the log at info, or with all of it. What counts is the CPU of each worker's process, all of its threads, a message, in the same seconds: a ratio is that of two workers who meet the same machine. Before anything counts, code is compiled: metrics have been scraped, and spans exported. The collector reads and drops. A skill that does nothing, so that what is added is the largest part that it can be, and one with four steps. Messages that count carry W3C trace ids and nobody's traceparent, as from producers that are not traced. For information the same while a queue is drained, one after the other, where collector, scraper, broker and store compete with the worker for processors. --quick: everything off and all three, no-op.`,
  }).option("--rounds <n>", "rounds; default 7, with --quick 3", atLeast(1));
  return runs(command, () => import("./run.ts"));
}
