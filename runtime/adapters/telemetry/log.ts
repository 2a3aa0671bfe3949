/** Writes runtime events as JSON lines with pino, secrets redacted and noisy events sampled. */
import { type Logger, pino } from "pino";
import type { RuntimeEvent } from "../../core/catalogue.ts";
import { redactValue } from "../../core/redact.ts";
import type { FinalOutcome, Telemetry } from "../../ports/telemetry.ts";

type Level = "debug" | "info" | "warn" | "error";

const levels: Readonly<Record<RuntimeEvent["type"], Level>> = {
  "worker.started": "info",
  "worker.stopping": "info",
  "worker.stopped": "info",
  "run.resumed": "info",
  "run.retrying": "warn",
  "run.postponed": "debug",
  "run.dead-lettered": "warn",
  "suspects.found": "warn",
  "message.broken": "error",
  "run.stale": "warn",
  "lock.lost": "warn",
  "circuit.changed": "warn",
  "store.down": "error",
  "store.up": "info",
  "store.forgot": "error",
  "clock.skewed": "warn",
  "transport.disturbed": "warn",
  "send.failed": "error",
  "receiver.rebuilt": "warn",
  "connection.rebuilt": "error",
  "thread.lost": "error",
  "loop.blocked": "warn",
};

/** Makes the worker's logger; lines go to standard error, so that standard output stays for results. */
export function createLogger(level: string): Logger {
  return pino({ level, base: { pid: process.pid } }, pino.destination({ dest: 2, sync: false }));
}

export class EventLog implements Telemetry {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  settled(_outcome: FinalOutcome, _skill: string, _latencyMs: number): void {
    // Deliveries are counted, not logged.
  }

  emit(event: RuntimeEvent): void {
    const level = levels[event.type];
    if (this.#logger.isLevelEnabled(level)) this.#logger[level](redactValue(event), event.type);
  }
}

/** A line that a skill wrote with `context.log`. */
interface SkillLine {
  readonly level: Level;
  readonly message: string;
}

/** Writes what skills log, each line with its skill, event and trace. */
export function writeSkillLog(logger: Logger, lines: readonly SkillLine[]): void {
  for (const { level, message, ...fields } of lines) logger[level](fields, message);
}

/** Tells several what one is told. */
export function teeTelemetry(all: readonly Telemetry[]): Telemetry {
  return {
    settled(outcome, skill, latencyMs) {
      for (const telemetry of all) telemetry.settled(outcome, skill, latencyMs);
    },
    emit(event) {
      for (const telemetry of all) telemetry.emit(event);
    },
  };
}
