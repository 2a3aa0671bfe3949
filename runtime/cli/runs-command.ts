/** `holdfast runs`: the commands on the records of runs, and their options. */
import { type Command, Option } from "commander";
import { allStates } from "../recovery/runs-scan.ts";
import { duration, integer, required, several } from "./arguments.ts";
import { withBy } from "./by-hand.ts";
import { exitCodes } from "./exit-codes.ts";
import type { ChangeOptions, DeleteOptions, ExplainOptions, ForkOptions, ListOptions, ReleaseOptions, ResumeOptions, ShowRunOptions } from "./runs-options.ts";

function withPlace(command: Command): Command {
  return command
    .option("-c, --config <file>", "configuration file; gives sources and store")
    .option("--source <name>", "of this source alone (default: of all, for one run of the one that has it)")
    .option("--json", "print JSON");
}

function withReason(command: Command, argument = "<eventId>"): Command {
  return withBy(withPlace(command.argument(argument)))
    .option("--reason <text>", "why; kept in the run's record (required)")
    .option("--dry-run", "say what it would do, and change nothing")
    .option("--forwarded-to <queue>", "look for dead letters in this queue, which the consumer's are forwarded to");
}

/** The options of a command that changes something, with the reason that they must have. */
function reasoned<Options extends ChangeOptions>(options: Partial<Options>, command: Command): Options {
  return { ...(options as Options), reason: required(command, "--reason <text>", options.reason) };
}

const messageHelp = "a file that holds the event's message, where no queue has it: the event as JSON, or a line of dlq export";

function addChanges(runs: Command): void {
  withReason(runs.command("resume").description("let a run that was given up, or has lost its message, go on behind its last step"))
    .option("--message <file>", messageHelp)
    .option("--repeat-in-doubt", "repeat steps of which nobody knows whether they happened: you have looked, and they did not")
    .option("--wait <seconds>", "how long the replayed run may take", integer, 60)
    .action(async (eventId: string, options: Partial<ResumeOptions>, command: Command) =>
      (await import("./runs-resume.ts")).resume(eventId, reasoned<ResumeOptions>(options, command)),
    );
  withReason(
    runs.command("release").description("state whether the step was done that a run, or each of many, is parked for: it goes on behind it, or with it"),
    "[eventId]",
  )
    .option("--done", "the step was done, and is not done again")
    .option("--not-done", "the step was not done, and is done now")
    .option("--result <json>", "with --done, what the step would have returned, or @FILE that holds it (default: nothing)")
    .option("--step <name>", "the step that is meant (default: the one that the run was parked for)")
    .option("--group <fingerprint>", "all parked runs of this group, or of several, as dlq groups names them; the first characters will do", several, [])
    .option("--skill <name>", "all runs of this skill that are parked for --step")
    .option("--count <n>", "with --group or --skill, how many there are: must be right, or nothing is changed (required, but with --dry-run)", integer)
    .option("--message <file>", messageHelp)
    .option("--wait <seconds>", "how long the replayed run may take", integer, 60)
    .action(async (eventId: string | undefined, options: Partial<ReleaseOptions>, command: Command) => {
      const isWhole = await (await import("./runs-release.ts")).release(eventId, reasoned<ReleaseOptions>(options, command));
      if (!isWhole) process.exitCode = exitCodes.failed;
    });
  withReason(
    runs.command("cancel").description("stop a run at its next step boundary; what a critical one has done is compensated; its message is dead-lettered"),
  ).action(async (eventId: string, options: Partial<ChangeOptions>, command: Command) =>
    (await import("./runs-cancel.ts")).cancel(eventId, reasoned<ChangeOptions>(options, command)),
  );
  withReason(runs.command("fork").description("make another run of this one, under a new event id, that begins behind one of its steps"))
    .option("--step <name>", "the last step that it takes over (required)")
    .option("--repeat-in-doubt", "repeat steps of which nobody knows whether they happened: you have looked, and they did not")
    .option("--as <eventId>", "the new event's id (default: the old one and a random part)")
    .option("--patch <json>", "JSON merge patch for the payload, or @FILE that holds one")
    .option("--message <file>", messageHelp)
    .action(async (eventId: string, options: Partial<ForkOptions>, command: Command) => {
      const step = required(command, "--step <name>", options.step);
      await (await import("./runs-resume.ts")).fork(eventId, { ...reasoned<ForkOptions>(options, command), step });
    });
  withReason(runs.command("delete").description("delete the record of a run that has ended: the event would run again if it was sent again"))
    .option("--yes", "do it")
    .action(async (eventId: string, options: Partial<DeleteOptions>, command: Command) =>
      (await import("./runs-cancel.ts")).remove(eventId, reasoned<DeleteOptions>(options, command)),
    );
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
  addChanges(runs);
}
