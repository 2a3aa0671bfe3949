/**
 * Why a command ends that did not do what it was asked: a line for eyes, and where standard error is a log of JSON, a line of that log. So
 * is an error that nobody catches; elsewhere Node shows it with its stack.
 */
import { endProcess } from "../adapters/threads/end-process.ts";
import { HoldfastError, messageOf } from "../core/errors.ts";
import { fieldOf, redact } from "../core/redact.ts";
import { isError } from "../core/thrown.ts";
import { exitCodes } from "./exit-codes.ts";
import { RefusedError } from "./finding.ts";
import { asMessage, isJsonLog, writeLogLine } from "./log-line.ts";
import { showForeignOutput, writeNote } from "./output.ts";

const textMax = 8_000;

/** What is told of an error; `isDefect`: nothing that its user could mend, so its stack is told as well. */
interface Told {
  readonly message: string;
  readonly exitCode: number;
  readonly isDefect?: boolean;
}

/** Whether code that others wrote has left it behind, and it has been told of. */
type IsForeign = (error: unknown, kind: NodeJS.UncaughtExceptionOrigin) => boolean;

/** Writes why the command ends. */
export function writeFailure(error: unknown, { message, exitCode, isDefect = false }: Told): void {
  if (!isJsonLog()) return writeNote(`holdfast: ${message}`);
  // What others have printed stands before why it ends.
  showForeignOutput();
  const { text, fields } = asMessage(message);
  const code = error instanceof HoldfastError ? error.code : (fieldOf(error, "code") ?? "ERROR");
  const more = error instanceof RefusedError ? { findings: error.findings } : fields;
  writeLogLine({ level: "fatal", text, fields: { type: "command.failed", code, exitCode, ...more, ...(isDefect ? { err: errorFields(error) } : {}) } });
}

/** Writes that the command was used wrongly, in the words of what reads its arguments. */
export function writeMisuse(said: string): void {
  const [text = "", ...details] = said
    .trim()
    .replace(/^error: /, "")
    .split("\n");
  writeLogLine({ level: "fatal", text, fields: { type: "command.failed", code: "HOLDFAST_USAGE", exitCode: exitCodes.usage, details } });
}

function errorFields(error: unknown): object {
  if (!isError(error)) return { message: messageOf(error) };
  return { type: fieldOf(error, "name"), message: messageOf(error), stack: redact(String(fieldOf(error, "stack")), textMax) };
}

let isForeign: IsForeign = () => false;
let isHearing = false;
let isEnding = false;

/** Hears of errors that nobody catches, from now on; those that are foreign end nothing. */
export function hearUncaught(foreign: IsForeign = isForeign): void {
  isForeign = foreign;
  if (isHearing) return;
  isHearing = true;
  process.on("uncaughtException", caught);
}

function caught(error: unknown, kind: NodeJS.UncaughtExceptionOrigin): void {
  if (isEnding || isForeign(error, kind)) return;
  if (isJsonLog()) {
    isEnding = true;
    writeFailure(error, { message: messageOf(error, textMax), exitCode: exitCodes.failed, isDefect: true });
    void endProcess(exitCodes.failed);
    return;
  }
  process.removeListener("uncaughtException", caught);
  // With nobody there to catch it, it ends the process with its stack.
  process.nextTick(() => {
    throw error;
  });
}
