/** Imported first by each program: on a Node that is too old it says so in a line and ends, before anything fails for another reason. */
import { tooOldNode } from "../core/node-version.ts";
import { exitCodes } from "./exit-codes.ts";

const trouble = tooOldNode(process.versions.node);
if (trouble !== undefined) {
  process.stderr.write(`holdfast: ${trouble}\n`);
  process.exit(exitCodes.usage);
}
