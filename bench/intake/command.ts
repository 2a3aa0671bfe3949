import type { Command } from "commander";
import { benchCommand, namesOf, runs } from "../support/command.ts";
import { scenarioNames } from "./scenarios.ts";

export function intakeCommand(): Command {
  const command = benchCommand({
    name: "intake",
    summary: "what a worker takes on: scaling out, mixed work, sudden changes",
    about: `What a worker holds should be what it can begin soon. Each scenario is one shape of work: what holds its thread, with a second worker that joins later; what only waits; quick and slow work on one queue; bodies of 200 KB in a container of 512 MB; broker and store up to 20 ms away; work whose length, distance, size or number changes at once. How long an event takes at a hundred a second is measured by the bench latency.

Workers are processes of their own, the broker's account is the clock. Runs are kept in Redis where REDIS_URL is set, otherwise in SQLite.`,
  }).option("--only <names>", `some of ${scenarioNames.join(", ")}`, namesOf(scenarioNames), scenarioNames);
  return runs(command, () => import("./run.ts"));
}
