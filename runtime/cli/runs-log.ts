/** What workers have logged of one event: files of JSON lines, read a line at a time. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import type { Moment } from "../recovery/runs-explain.ts";

/** Lines that are told of a file; of more, the last ones. */
const linesMax = 1_000;
const toldApart = new Set(["time", "level", "msg", "type", "eventId", "worker", "host", "pid"]);

/** Throws `ConfigurationError` for a file that cannot be read, or holds no line of JSON. */
export async function readLogs(files: readonly string[], eventId: string): Promise<readonly Moment[]> {
  const moments = await Promise.all(files.map((file) => readLog(file, eventId)));
  return moments.flat();
}

async function readLog(file: string, eventId: string): Promise<readonly Moment[]> {
  const moments: Moment[] = [];
  let lines = 0;
  let objects = 0;
  try {
    for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line === "") continue;
      lines += 1;
      if (!line.startsWith("{")) continue;
      objects += 1;
      // Most lines are of others, and are not parsed.
      const moment = line.includes(eventId) ? momentOf(line, eventId) : undefined;
      if (moment !== undefined) moments.push(moment);
      if (moments.length >= 2 * linesMax) moments.splice(0, linesMax);
    }
  } catch (error) {
    throw new ConfigurationError(`--log: expected a file that can be read, found: ${messageOf(error, 200)}`);
  }
  if (lines > 0 && objects === 0)
    throw new ConfigurationError(
      `--log: expected JSON lines in ${file}, found ${lines} others; let the workers write them with --log json, or logFormat: "json"`,
    );
  return moments.slice(-linesMax);
}

function momentOf(line: string, eventId: string): Moment | undefined {
  let entry: Readonly<Record<string, unknown>>;
  try {
    entry = JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
  const { time, msg, type, worker } = entry;
  const atMs = Date.parse(String(time));
  if (entry["eventId"] !== eventId || Number.isNaN(atMs)) return undefined;
  const fields = Object.entries(entry).flatMap(([name, value]) =>
    toldApart.has(name) || value === "" ? [] : [`${name} ${typeof value === "string" ? value : JSON.stringify(value)}`],
  );
  const details = [...fields, ...(typeof worker === "string" ? [`by ${worker}`] : [])].join("; ");
  const said = typeof type === "string" && typeof msg === "string" && type !== msg ? `${type}: ${msg}` : String(msg ?? type);
  return { atMs, source: "log", text: `${said}${details === "" ? "" : ` (${details})`}` };
}
