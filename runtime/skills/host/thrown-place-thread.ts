// Imports a module that throws and looks on, to see where. A thread may debug itself: it is paused while the listener is at work.
import { type Debugger, Session } from "node:inspector";
import { fileURLToPath } from "node:url";
import { parentPort, workerData } from "node:worker_threads";
import { type CodePlace, isOwn } from "./code-place.ts";
import { knowOwnName } from "./own-name.ts";
import type { ThrownPlaceQuestion } from "./thrown-place.ts";

const { url, folder } = workerData as ThrownPlaceQuestion;
const scripts = new Map<string, string>();
let last: CodePlace | undefined;

function placeOfFrame({ location: { scriptId, lineNumber, columnNumber } }: Debugger.CallFrame): CodePlace | undefined {
  const source = scripts.get(scriptId);
  if (source === undefined) return undefined;
  const file = fileURLToPath(source);
  return isOwn(file, folder) ? { file, line: lineNumber + 1, column: (columnNumber ?? 0) + 1 } : undefined;
}

knowOwnName();
const session = new Session();
session.connect();
session.on("Debugger.scriptParsed", ({ params }) => {
  if (params.url.startsWith("file:")) scripts.set(params.scriptId, params.url);
});
session.on("Debugger.paused", ({ params }) => {
  for (const frame of params.callFrames) {
    const place = placeOfFrame(frame);
    if (place === undefined) continue;
    last = place;
    break;
  }
  session.post("Debugger.resume");
});
session.post("Debugger.enable");
// What is caught as well: to the engine, whatever a module throws is caught by its import.
session.post("Debugger.setPauseOnExceptions", { state: "all" });
await import(url).then(
  () => (last = undefined),
  () => undefined,
);
session.disconnect();
parentPort?.postMessage(last);
