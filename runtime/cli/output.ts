/**
 * What a command writes, apart from what others write while it runs. Standard output holds the command's result and nothing else,
 * so that what reads JSON gets JSON: what a configuration or a plugin prints, at once or later from a timer, goes to standard error.
 * A worker, whose standard error is its log, holds it until the log is there and makes log lines of it.
 */
import { printableLines } from "../core/printable.ts";
import { type OutputStream, captureOutput } from "../skills/host/captured-output.ts";
import { exitCodes } from "./exit-codes.ts";
import { type LogLine, holdStandardError, writeLogLine } from "./log-line.ts";
import { ownerAtWork } from "../skills/host/module-owner.ts";

/** A line that is not the command's own; `fields` say whose it is. */
export type ForeignLine = LogLine;

// Taken before anybody else's code runs.
const writeOut = process.stdout.write.bind(process.stdout);
const writeErr = process.stderr.write.bind(process.stderr);
holdStandardError();
let isGone = false;
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    if (stream !== process.stdout) return;
    isGone = true;
    process.exitCode ||= exitCodes.failed;
  });

/** Nobody reads standard output any more. What a command does goes on, as far as it does not consist in writing there. */
export function isReaderGone(): boolean {
  return isGone;
}

/** Lines that are held; undefined while they are not. */
let held: ForeignLine[] | undefined;
let isCapturing = false;

/** Writes the command's result for eyes. */
export function writeText(text: string): void {
  writeResult(printableLines(text));
}

/** Writes the command's result for programs, as it is. */
export function writeResult(text: string): void {
  if (!isGone) writeOut(text);
}

/** Writes a line for the person who called the command. */
export function writeNote(text: string): void {
  showForeignOutput();
  writeErr(`${printableLines(text)}\n`);
}

/** Takes a line that is not the command's own. */
export function writeForeign(line: ForeignLine): void {
  if (held === undefined) writeLogLine(line);
  else held.push(line);
}

/** Call it before anything is imported that others wrote. Idempotent. */
export function keepForeignOutputApart(): void {
  if (isCapturing) return;
  isCapturing = true;
  captureOutput((stream: OutputStream, text) => {
    const source = ownerAtWork()?.name;
    writeForeign({ level: stream === "stdout" ? "info" : "warn", text, fields: { stream, ...(source === undefined ? {} : { source }) } });
  });
}

/** Holds what others write until `showForeignOutput`; what is held when the process ends is written then, or with its last words. */
export function holdForeignOutput(): void {
  held = [];
  keepForeignOutputApart();
  process.once("exit", showForeignOutput);
}

/** Writes what is held, and what comes from now on at once. */
export function showForeignOutput(): void {
  const lines = held ?? [];
  held = undefined;
  for (const line of lines) writeLogLine(line);
}
