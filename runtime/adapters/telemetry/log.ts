/** Writes runtime events as log lines with pino: JSON for machines, or for eyes. What recurs is written less and less often. */
import { type Logger, pino } from "pino";
import type { RuntimeEvent } from "../../core/catalogue.ts";
import type { Clock } from "../../core/clock.ts";
import { traceOfMessage } from "../../core/lineage.ts";
import { shownFields } from "../../core/log-fields.ts";
import { redact, redactValue } from "../../core/redact.ts";
import { type TraceParent, traceIdOf } from "../../core/trace-context.ts";
import type { AboutEvent, AboutMessage, FinalOutcome, SettledRun, Telemetry } from "../../ports/telemetry.ts";
import { type Level, levelOf, sentenceOf } from "./event-words.ts";
import { prettyLine } from "./pretty.ts";
import { Recurrences } from "./recurrences.ts";

export interface LoggerOptions {
  readonly level: string;
  /** `json` for machines, `pretty` for eyes. */
  readonly format: "json" | "pretty";
  /** In every line of JSON. */
  readonly worker: string;
  readonly host: string;
  /** Gets each line; default: it is written to standard error. */
  readonly write?: ((line: string) => void) | undefined;
  /** Gets each line of JSON, too. */
  readonly also?: ((line: string) => void) | undefined;
}

/** Of a destination that keeps nothing back. */
function flushed(done?: (error?: Error) => void): void {
  done?.();
}

/** Makes the worker's logger; lines go to standard error, so that standard output stays for results. */
export function createLogger({ level, format, worker, host, write, also }: LoggerOptions): Logger {
  // A flush waits for what is being written only where there is a length to wait for.
  const destination = write === undefined ? pino.destination({ dest: 2, sync: false, minLength: 1 }) : { write, flush: flushed };
  const isColoured = process.stderr.isTTY && process.env["NO_COLOR"] === undefined;
  const eyes = {
    write: (line: string): void => void destination.write(prettyLine(line, isColoured)),
    flush: (done?: (error?: Error) => void): void => destination.flush(done),
  };
  const place = format === "json" ? destination : eyes;
  return pino(
    {
      level,
      base: { worker, host, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: errorOf },
    },
    also === undefined ? place : { write: (line: string) => (also(line), place.write(line)), flush: (done?: (error?: Error) => void) => place.flush(done) },
  );
}

const stackMax = 8_000;

/** What others threw may carry requests and addresses. */
function errorOf(error: unknown): unknown {
  if (!(error instanceof Error)) return redactValue(error);
  const { stack, ...told } = pino.stdSerializers.err(error);
  return { ...(redactValue(told) as object), stack: redact(stack, stackMax) };
}

export class EventLog implements Telemetry {
  readonly #logger: Logger;
  readonly #recurrences: Recurrences;

  constructor(logger: Logger, clock: Pick<Clock, "monotonicMs">) {
    this.#logger = logger;
    this.#recurrences = new Recurrences(clock);
  }

  settled(outcome: FinalOutcome, skill: string, latencyMs: number, run: SettledRun): void {
    // How the others end has an event of its own; at `info` all are counted, and summed up once a minute.
    if (outcome === "completed" && this.#logger.isLevelEnabled("debug"))
      this.#logger.debug({ type: "run.completed", eventId: run.eventId, skill, attempt: run.attempt, latencyMs, ...idsAbout(run) }, "run.completed");
  }

  emit(event: RuntimeEvent, about?: AboutMessage | AboutEvent): void {
    const level = levelOf(event);
    if (!this.#logger.isLevelEnabled(level)) return;
    const key = recurrenceKey(event);
    const repeated = key === undefined ? 0 : this.#recurrences.occurs(key);
    if (repeated === undefined) return;
    const line = { ...shownFields(event), ...(about && idsAbout(about)), ...(repeated === 0 ? undefined : { repeated }) };
    this.#logger[level](line, sentenceOf(event));
  }
}

/** The ids of a span, or of a trace alone. */
type LineSpan = Pick<TraceParent, "traceId"> & Partial<TraceParent>;

/**
 * Under the names that OpenTelemetry has for them in logs of other forms. Of a span that is not chosen nothing is said: it may yet be exported,
 * because the run fails, is repeated or is slow.
 */
function lineIds({ traceId, spanId, isSampled }: LineSpan): Readonly<Record<string, string>> {
  return { trace_id: traceId, ...(spanId === undefined ? undefined : { span_id: spanId }), ...(isSampled === true ? { trace_flags: "01" } : undefined) };
}

/** Of a line about an event or its message. */
function idsAbout(about: SettledRun | AboutMessage | AboutEvent): Readonly<Record<string, string>> | undefined {
  if ("lineage" in about) return lineIds({ traceId: traceIdOf(about.lineage.traceId || about.eventId) });
  const { delivery, headers, eventId, span } = about;
  if (span !== undefined) return lineIds(span);
  return delivery === undefined ? undefined : lineIds(traceOfMessage({ delivery, headers, eventId }));
}

/** What keeps occurring for as long as its cause lasts has a key, equal for equal causes. Everything else is written each time. */
function recurrenceKey(event: RuntimeEvent): string | undefined {
  switch (event.type) {
    case "transport.disturbed":
      return `${event.type} ${event.source} ${causeOf(event.error)}`;
    case "send.failed":
      return `${event.type} ${event.entity} ${causeOf(event.error)}`;
    case "escalation.held-back":
      return `${event.type} ${event.rule}`;
    case "traces.lost":
    case "logs.lost":
      return `${event.type} ${event.why}`;
    case "transport.recovered":
    case "receiver.rebuilt":
    case "connection.rebuilt":
      return `${event.type} ${event.source}`;
    default:
      return undefined;
  }
}

/** The broker's code for what it found, or else the text without what differs from one time to the next. */
function causeOf(error: string): string {
  const code = /found (?:[^;]*\()?((?:amqp|com\.microsoft):[\w.:-]*\w|[A-Z]\w+)(?:: |\);)/.exec(error)?.[1];
  return code ?? error.replace(/[\da-f-]{8,}|\d+/gi, "#");
}

/** A line that a skill wrote with `context.log`. */
interface SkillLine {
  readonly level: Level;
  readonly message: string;
  readonly span?: LineSpan | undefined;
}

/** Writes what skills log, each line with its skill, event and trace. */
export function writeSkillLog(logger: Logger, lines: readonly SkillLine[]): void {
  for (const { level, message, span, ...fields } of lines) logger[level]({ ...fields, ...(span && lineIds(span)) }, message);
}

/** What of a change over the admin API its line begins with. */
interface AuditLine {
  readonly operation: string;
  readonly who: string;
  readonly result: string;
}

/** Writes each change over the admin API, whatever the level: else who may set the level could end the audit, and it would not say so. */
export function auditLog(logger: Logger): (line: AuditLine) => void {
  const lines = logger.child({}, { level: "info" });
  return (line) => lines.info({ type: "admin.audit", ...line }, `admin: ${line.operation} by ${line.who}: ${line.result}`);
}

/** Passes everything on to several. */
export function teeTelemetry(all: readonly Telemetry[]): Telemetry {
  return {
    settled(outcome, skill, latencyMs, run) {
      for (let index = 0; index < all.length; index += 1) all[index]!.settled(outcome, skill, latencyMs, run);
    },
    emit(event, about) {
      for (const telemetry of all) telemetry.emit(event, about);
    },
  };
}
