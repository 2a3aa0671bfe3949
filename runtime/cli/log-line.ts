/**
 * What a command says beside the worker's log, in the form of that log: where standard error is a log of JSON, also what keeps a worker from
 * starting is a JSON line. Elsewhere it is a line for eyes. Every Node has to understand this file, however old: it is needed to say so.
 */
import { hostname } from "node:os";

export interface LogLine {
  readonly level: "info" | "warn" | "error" | "fatal";
  readonly text: string;
  readonly fields?: Readonly<Record<string, unknown>> | undefined;
}

type Write = (line: LogLine) => void;
type Format = "json" | "pretty";

/** Their standard error is a log: their own, or that of the worker that they run. */
const commandsWithLog: ReadonlySet<string> = new Set(["start", "dev"]);

let writeErr: ((text: string) => void) | undefined;
let hasLog = commandsWithLog.has(process.argv[2] ?? "");
let configured: Format | undefined;
let logger: Write | undefined;

/** Keeps the way to standard error, before anybody else's code runs that may put itself there. It loads Node's sockets, so signals are heard before. */
export function holdStandardError(): void {
  writeErr ??= process.stderr.write.bind(process.stderr);
}

/** What this process says belongs into a log, whatever command it was started by. */
export function speakInLog(): void {
  hasLog = true;
}

/** The form that the configuration asks for, once it is known; flags and environment come before it. */
export function preferFormat(format: unknown): void {
  if (isFormat(format)) configured = format;
}

/** Lines go through the worker's own log from now on, where there is one. */
export function useLogger(write: Write): void {
  logger = write;
}

/** Whether what this process says is read by machines. */
export function isJsonLog(): boolean {
  return hasLog && (formatAsked() ?? (process.stderr.isTTY ? "pretty" : "json")) === "json";
}

/** Writes a line; `shown` is what eyes get in its place. */
export function writeLogLine(line: LogLine, shown: string = line.text): void {
  if (logger !== undefined) logger(line);
  else {
    holdStandardError();
    writeErr?.(`${isJsonLog() ? jsonOf(line) : shown}\n`);
  }
}

/** A text of several lines as a log has it: the first is the message. */
export function asMessage(text: string): Pick<LogLine, "text" | "fields"> {
  const [first = "", ...details] = text.split("\n");
  return details.length === 0 ? { text } : { text: first.replace(/:$/, ""), fields: { details: details.map((line) => line.trimEnd()) } };
}

function jsonOf({ level, text, fields }: LogLine): string {
  return JSON.stringify({ level, time: new Date().toISOString(), host: hostname(), pid: process.pid, ...fields, msg: text });
}

function formatAsked(): Format | undefined {
  const flag = process.argv.reduce<string | undefined>((found, argument, place) => {
    if (argument === "--log") return process.argv[place + 1];
    return argument.startsWith("--log=") ? argument.slice("--log=".length) : found;
  }, undefined);
  return [flag, process.env["HOLDFAST_LOG_FORMAT"], configured].find(isFormat);
}

function isFormat(value: unknown): value is Format {
  return value === "json" || value === "pretty";
}
