/** Imported first by the package: on a Node that is too old, importing it fails with a line that says so, and with nothing else. */
import { tooOldNode } from "./node-version.ts";

const trouble = tooOldNode(process.versions.node);
if (trouble !== undefined) {
  const error = new Error(`holdfast: ${trouble}`);
  // Where it was thrown says nothing to who has to install another Node.
  error.stack = error.message;
  throw error;
}
