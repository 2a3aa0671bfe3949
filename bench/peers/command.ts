import type { Command } from "commander";
import { atLeast, namesOf, runs, scenarioCommand } from "../support/command.ts";
import { contenderKeys, shapeNames } from "./names.ts";

export function peersCommand(): Command {
  const command = scenarioCommand({
    name: "peers",
    summary: "throughput and cost of the worker beside what one would have otherwise",
    about: `The same messages, handlers and Redis for each: the worker on Redis and on SQLite; the SDK's subscribe as it comes and with 200 calls, and a loop around receiveMessages, each with SET NX against duplicates; BullMQ, plain and, for CPU work, sandboxed; and, as ceilings, the SDK and rhea that only receive and complete.

Each drains a queue that was filled before, in a process of its own, in turns; the first half of a turn, and the last twentieth, are not counted. The CPU that client, broker and Redis take for a message is printed. Every message is looked up in the broker's record, and every effect in the handlers' notes: what is lost, settled wrong or done twice fails the run.`,
  })
    .option("--rounds <n>", "rounds; with --quick 1", atLeast(1))
    .option("--seconds <n>", "about what a turn takes; with --quick 2", atLeast(1))
    .option("--handlers <names>", `some of ${shapeNames.join(", ")}; with --quick no-op, of which others are tried briefly`, namesOf(shapeNames))
    .option("--only <names>", `some of ${contenderKeys.join(", ")}`, namesOf(contenderKeys));
  return runs(command, () => import("./run.ts"));
}
