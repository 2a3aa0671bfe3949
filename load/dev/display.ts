/** Live tables on a terminal that can redraw, or one JSON line a second, without escape sequences, everywhere else. */
import logUpdate from "log-update";
import type { BrokerAccount } from "./broker-account.ts";
import { fitted, wrapped } from "./fitted.ts";
import type { Sent } from "./stream.ts";
import type { WorkerProcess } from "./worker-process.ts";

const lineEveryMs = 1_000;
const columnsDefault = 80;

export interface Moment {
  readonly elapsedMs: number;
  readonly phase: string;
  /** Nothing changes any more. */
  readonly isOver: boolean;
  readonly sent: Sent;
  /** Events that are to be sent; undefined when there is no end. */
  readonly wanted: number | undefined;
  readonly account: BrokerAccount;
  readonly worker: WorkerProcess;
}

export class Display {
  readonly #terminal: boolean;
  #lastLineMs = Number.NEGATIVE_INFINITY;
  #lastEnded = 0;
  #lastEndedMs = 0;
  #perSecond = 0;

  constructor({ isTTY }: { readonly isTTY: boolean }, term: string | undefined = process.env["TERM"]) {
    this.#terminal = isTTY && term !== "dumb";
  }

  show(moment: Moment): void {
    this.#measure(moment);
    if (this.#terminal) {
      logUpdate(this.#frame(moment, process.stdout.columns || columnsDefault));
      return;
    }
    if (moment.elapsedMs - this.#lastLineMs < lineEveryMs) return;
    this.#lastLineMs = moment.elapsedMs;
    process.stdout.write(`${JSON.stringify(this.#line(moment))}\n`);
  }

  /** Leaves the last table standing. */
  end(): void {
    if (this.#terminal) logUpdate.done();
  }

  /** Throughput over the last second or so. */
  #measure({ account, elapsedMs }: Moment): void {
    const spanMs = elapsedMs - this.#lastEndedMs;
    if (spanMs < lineEveryMs) return;
    const ended = account.completed + account.deadLettered;
    this.#perSecond = Math.max(0, Math.round(((ended - this.#lastEnded) / spanMs) * 1_000));
    this.#lastEnded = ended;
    this.#lastEndedMs = elapsedMs;
  }

  #line({ elapsedMs, phase, sent, account, worker }: Moment): object {
    const latencies = worker.reports.latencies();
    return {
      type: "progress",
      phase,
      seconds: Math.round(elapsedMs / 1_000),
      events: sent.events,
      sent: sent.messages,
      queued: account.queued,
      dueLater: account.dueLater,
      completed: account.completed,
      deadLettered: account.deadLettered,
      perSecond: this.#perSecond,
      inFlight: worker.reports.view?.inFlight ?? 0,
      page: worker.page,
      latencyMs: { p50: latencies.percentile(50), p99: latencies.percentile(99) },
    };
  }

  /** By the account's names: what it says at the end, the last frame has said before. */
  #frame({ account, worker, phase, isOver, sent, wanted, elapsedMs }: Moment, columns: number): string {
    const latencies = worker.reports.latencies();
    const { outcomes } = worker.reports.totals();
    const ms = (percentile: number): string => `${Math.round(latencies.percentile(percentile))} ms`;
    const events = wanted === undefined ? `${sent.events} events sent` : `${sent.events} of ${wanted} events sent`;
    const progress = [`${Math.round(elapsedMs / 1_000)} s`, phase, `${events}, as ${sent.messages} messages`];
    const gates = (worker.reports.view?.gates ?? []).map((gate) => [
      gate.dependency,
      `${gate.inUse} of ${gate.concurrentMax}`,
      `${gate.waiting} of ${gate.queueMax}`,
      gate.circuit,
    ]);
    return [
      wrapped(progress, columns),
      wrapped([`${this.#perSecond}/s`, `${worker.reports.view?.inFlight ?? 0} in flight`, `latency p50 ${ms(50)}`, `p99 ${ms(99)}`], columns),
      wrapped(
        ["duplicate", "retried", "postponed", "released"].map((outcome) => `${outcomes[outcome] ?? 0} ${outcome}`),
        columns,
      ),
      fitted(
        ["accepted", "completed", "dead-lettered", "queued", "of these due later"],
        [[account.accepted, account.completed, account.deadLettered, account.queued, account.dueLater]],
        columns,
      ),
      ...(gates.length === 0 ? [] : [fitted(["bulkhead", "in use", "waiting", "circuit"], gates, columns)]),
      ...(isOver || worker.page === undefined ? [] : [wrapped([`live page: ${worker.page}`], columns)]),
      ...(isOver ? [] : [wrapped([wanted === undefined ? "Ctrl-C drains and ends, with an account" : "Ctrl-C ends it now, with an account"], columns)]),
    ].join("\n");
  }
}
