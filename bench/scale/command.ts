import type { Command } from "commander";
import { runs, scenarioCommand } from "../support/command.ts";

export function scaleCommand(): Command {
  const command = scenarioCommand({
    name: "scale",
    summary: "how cost grows: workers, backlog, payload, shards of the store; and what that means for 200 workers",
    about: `A queue of no-ops is drained by 1, 2 and 4 workers; with a backlog of a thousand to a million; with bodies of 256 bytes to 256 KB; and with the records on one Redis and on a cluster of three. Workers share this machine: what counts is what a message costs each part.

From these costs a closed network of queues (exact mean value analysis: workers with a core each, shards, and a broker of several such units) says what 1 to 200 workers and 1 to 32 shards would do, and what bounds them at each size. That is computed, not measured.`,
  });
  return runs(command, () => import("./run.ts"));
}
