/** Log lines for eyes: a JSON line in, a line to read out. Machines read the JSON. */
import { printable } from "../../core/printable.ts";

const colours: ReadonlyMap<string, number> = new Map([
  ["trace", 90],
  ["debug", 90],
  ["info", 32],
  ["warn", 33],
  ["error", 31],
  ["fatal", 31],
]);
const dim = 2;
const levelWidth = 5;
/** The same in every line, or shown in its own place. */
const left: ReadonlySet<string> = new Set(["level", "time", "worker", "host", "pid", "msg"]);

/** `isColoured`: whether the reader is a terminal that shows colours. */
export function prettyLine(json: string, isColoured: boolean): string {
  const line = parse(json);
  if (line === undefined) return json;
  const paint = (text: string, colour: number): string => (isColoured ? `\u001b[${colour}m${text}\u001b[0m` : text);
  const level = textOf(line["level"]);
  const message = textOf(line["msg"]);
  const fields = Object.entries(line).filter(([name, value]) => !left.has(name) && !(name === "type" && value === message));
  const parts = [paint(timeOf(line["time"]), dim), paint(level.toUpperCase().padEnd(levelWidth), colours.get(level) ?? 0), printable(message)];
  for (const [name, value] of fields) parts.push(`${paint(`${name}=`, dim)}${shown(value)}`);
  return `${parts.join(" ")}\n`;
}

function parse(json: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(json) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function timeOf(time: unknown): string {
  const at = new Date(typeof time === "string" || typeof time === "number" ? time : Number.NaN);
  if (Number.isNaN(at.getTime())) return "--:--:--.---";
  const [hours, minutes, seconds] = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, "0"));
  return `${hours}:${minutes}:${seconds}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** What has no spaces or quotes stands as it is. */
function shown(value: unknown): string {
  if (typeof value === "string") return /^[\w.:/@+*$~-]+$/.test(value) ? value : printable(JSON.stringify(value));
  return printable(JSON.stringify(value) ?? "");
}
