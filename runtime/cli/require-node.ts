/** Imported first by each program: on a Node that is too old it says so in a line and ends, before anything fails for another reason. */
import { tooOldNode } from "../core/node-version.ts";
import { exitCodes } from "./exit-codes.ts";
import { writeLogLine } from "./log-line.ts";

const trouble = tooOldNode(process.versions.node);
if (trouble !== undefined) {
  const { usage: exitCode } = exitCodes;
  writeLogLine({ level: "fatal", text: trouble, fields: { type: "command.failed", code: "HOLDFAST_NODE", exitCode } }, `holdfast: ${trouble}`);
  process.exit(exitCodes.usage);
}
