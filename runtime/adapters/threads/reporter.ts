// Groups what a thread's runs have to say, so that a tick costs one message, not one a run.
import { noFraction } from "../../core/fractions.ts";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { MessagePort } from "node:worker_threads";
import { runContext } from "../../skills/host/run-context.ts";
import type { HostSink } from "../../skills/host/skill-host.ts";
import { LogBuffer } from "../../skills/host/run-log.ts";
import type { LogLevel } from "../../skills/author/context.ts";
import { taskWorkMs } from "./batch-size.ts";
import type { SkillLoopTimeCounter } from "./skill-loop-time.ts";
import { monotonicMs } from "./monotonic.ts";
import type { ThreadSettings } from "./wire.ts";
import { isStepped, SteppedResults } from "./stepped-results.ts";
import { PlainResults, type ReportedNeed, type ReportedQuestion, type ReportedResult, type ReportedStep, type ReportedTrace, isPlain } from "./reports.ts";

/**
 * Longest that a busy thread leaves its event loop waiting. Tasks that are there already are handed over one after the other
 * without a turn of the loop between them; without this, sockets and timers would starve under load.
 */
const turnMaxMs = 8;

const outsideRuns = { skill: "", eventId: "", traceId: "", attempt: 0 };

export class Reporter {
  readonly sink: HostSink;
  readonly #port: MessagePort;
  readonly #logs: LogBuffer;
  readonly #plain = new PlainResults();
  readonly #stepped = new SteppedResults();
  #results: ReportedResult[] = [];
  #steps: ReportedStep[] = [];
  #needs: ReportedNeed[] = [];
  #questions: ReportedQuestion[] = [];
  #traces: ReportedTrace[] = [];
  /** When the first of what is kept back came; 0 when nothing is. */
  #keptSinceMs = noFraction;
  /** When the next turn of the loop was asked for; 0 when it was not. */
  #turnSinceMs = noFraction;

  constructor(port: MessagePort, { logLevel, traces }: Pick<ThreadSettings, "logLevel" | "traces">, loopTime: Pick<SkillLoopTimeCounter, "held">) {
    this.#port = port;
    this.#logs = new LogBuffer(logLevel && new Int32Array(logLevel), traces);
    this.sink = {
      result: (ticket, answer, calls, durationMs, recordingMs, trace) => {
        if (trace !== undefined) this.#traces.push({ ticket, trace });
        if (isPlain(answer, calls)) this.#plain.add(ticket, durationMs, recordingMs);
        else if (isStepped(answer, calls)) this.#stepped.add(ticket, durationMs, recordingMs, answer.steps);
        else this.#results.push({ ticket, durationMs, recordingMs, answer, calls });
        this.#schedule();
      },
      step: (ticket, requestId, step, fellBack) => {
        this.#steps.push({ ticket, requestId, step, fellBack });
        this.#schedule();
      },
      usage: (ticket, requestId, dependency, { requests, tokens }, waitMaxMs) => {
        this.#needs.push({ ticket, requestId, dependency, requests, tokens, waitMaxMs });
        this.#schedule();
      },
      question: (ticket, requestId, about) => {
        this.#questions.push({ ticket, requestId, about });
        this.#schedule();
      },
      log: (line, ids) => {
        if (this.#logs.add(line, ids)) this.#schedule();
      },
      worked: (skill) => loopTime.held(skill),
    };
  }

  /** A line about, or printed by, whatever code is at work, with the ids of its run. */
  line(level: LogLevel, message: string): void {
    const ids = runContext.getStore();
    const { skill, eventId, traceId, attempt } = ids ?? outsideRuns;
    this.sink.log({ level, skill, eventId, traceId, attempt, message, fields: undefined }, ids);
  }

  /** Whether a thread that is at work should call `breathe` now. */
  isOverdue(nowMs: number): boolean {
    return (this.#keptSinceMs > 0 && nowMs - this.#keptSinceMs > taskWorkMs) || (this.#turnSinceMs > 0 && nowMs - this.#turnSinceMs > turnMaxMs);
  }

  /** Lets runs that have just ended be answered, and the loop turn when it waits too long. */
  async breathe(nowMs: number): Promise<void> {
    if (this.#turnSinceMs > 0 && nowMs - this.#turnSinceMs > turnMaxMs) await nextTurn();
    else await Promise.resolve();
    this.flush();
  }

  /** Takes all there is, for the answer of a task that took `workMs`. */
  take(workMs: number): Uint8Array<ArrayBuffer> {
    this.#keptSinceMs = 0;
    const rest = { results: this.#results, steps: this.#steps, needs: this.#needs, questions: this.#questions, logs: this.#logs.take(), traces: this.#traces };
    const bytes = this.#plain.report(workMs, this.#stepped.take(), rest);
    if (this.#results.length > 0) this.#results = [];
    if (this.#steps.length > 0) this.#steps = [];
    if (this.#needs.length > 0) this.#needs = [];
    if (this.#questions.length > 0) this.#questions = [];
    if (this.#traces.length > 0) this.#traces = [];
    return bytes;
  }

  /** What there is to say is said now. */
  flush(): void {
    if (this.#keptSinceMs === 0) return;
    const bytes = this.take(0);
    this.#port.postMessage(bytes, [bytes.buffer]);
  }

  #schedule(): void {
    if (this.#keptSinceMs > 0) return;
    this.#keptSinceMs = monotonicMs();
    if (this.#turnSinceMs > 0) return;
    this.#turnSinceMs = this.#keptSinceMs;
    setImmediate(() => {
      this.#turnSinceMs = 0;
      this.flush();
    });
  }
}
