import { messageOf } from "../../core/errors.ts";
import { redactValue } from "../../core/redact.ts";
import type { LogLevel, SkillLog } from "../author/context.ts";

/** A line that a skill logged, on its way to the worker's log. */
export interface SkillLogLine {
  readonly level: LogLevel;
  readonly skill: string;
  readonly eventId: string;
  readonly traceId: string;
  readonly attempt: number;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

/** What a skill logs with, given who takes its lines. */
export function skillLog(take: (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> | undefined) => void): SkillLog {
  const write =
    (level: LogLevel) =>
    (message: string, fields?: Readonly<Record<string, unknown>>): void =>
      take(level, message, fields);
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

/** Lines that are kept until the next tick takes them away; more are counted and dropped. */
const linesMax = 1_000;
const messageMax = 1_000;
const levels: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** Gathers lines until they are taken. */
export class LogBuffer {
  readonly #least: number;
  #lines: SkillLogLine[] = [];
  #dropped = 0;

  /** Lines below `level` are not kept; undefined keeps none. */
  constructor(level: LogLevel | undefined) {
    this.#least = level === undefined ? levels.length : levels.indexOf(level);
  }

  /** Whether it kept the line. */
  add(line: SkillLogLine): boolean {
    if (levels.indexOf(line.level) < this.#least) return false;
    if (this.#lines.length >= linesMax) {
      this.#dropped += 1;
      return false;
    }
    const message = messageOf(line.message, messageMax);
    this.#lines.push({ ...line, message, fields: line.fields === undefined ? undefined : (redactValue(line.fields) as Record<string, unknown>) });
    return true;
  }

  /** The lines since it was last asked, the last of them telling how many were dropped. */
  take(): readonly SkillLogLine[] {
    const lines = this.#lines;
    const last = lines.at(-1);
    if (this.#dropped > 0 && last !== undefined) lines.push({ ...last, level: "warn", message: `${this.#dropped} more lines were dropped`, fields: undefined });
    this.#lines = [];
    this.#dropped = 0;
    return lines;
  }
}
