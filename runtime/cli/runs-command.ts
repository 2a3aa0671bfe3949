/** `holdfast runs`: the commands on the records of runs, and their options. */
import { type Command, Option } from "commander";
import { allStates } from "../recovery/runs-scan.ts";
import { duration, integer, several } from "./arguments.ts";
import type { ExplainOptions, ListOptions, ShowRunOptions } from "./runs-options.ts";

function withPlace(command: Command): Command {
  return command.option("-c, --config <file>", "configuration file; gives consumer and store").option("--json", "print JSON");
}

export function addRunsCommand(program: Command): void {
  const runs = program.command("runs").description("runs of the consumer, by their records: how each stands, what it has done, and why it waits");
  withPlace(runs.command("list").description("list runs, those first that were written last"))
    .addOption(new Option("--state <state...>", "runs in this state, or in several").choices(allStates).default([]))
    .option("--skill <name>", "runs of this skill, or of several", several, [])
    .option("--type <event type>", "runs of events of this type, or of several", several, [])
    .option("--older-than <time>", "runs whose record was not written for this long, such as 90s, 10m, 2h or 7d", duration)
    .option("--limit <n>", "runs to show; all are counted", integer, 50)
    .action(async (options: ListOptions) => (await import("./runs.ts")).list(options));
  withPlace(runs.command("show").description("show one run: state, claim, attempts, steps, compensations, outbox, history").argument("<eventId>"))
    .option("--results", "show what steps have returned, too, also while the run is on its way: it is data, and may hold what is private")
    .action(async (eventId: string, options: ShowRunOptions) => (await import("./runs.ts")).show(eventId, options));
  withPlace(runs.command("explain").description("tell one event's whole story in the order of time, and why it waits now and until when").argument("<eventId>"))
    .option("--log <file>", "JSON lines that workers have logged; may be given several times", several, [])
    .option("--forwarded-to <queue>", "look for dead letters in this queue, which the consumer's are forwarded to")
    .option("--peek <n>", "messages to look at in each queue", integer, 10_000)
    .action(async (eventId: string, options: ExplainOptions) => (await import("./runs-explain.ts")).explain(eventId, options));
}
