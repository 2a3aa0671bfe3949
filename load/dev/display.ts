/** The live table of a terminal, or one JSON line a second where there is none. */
import Table from "cli-table3";
import logUpdate from "log-update";
import type { BrokerAccount } from "./broker-account.ts";
import type { WorkerProcess } from "./worker-process.ts";

const lineEveryMs = 1_000;

export interface Moment {
  readonly elapsedMs: number;
  readonly phase: string;
  readonly sent: number;
  /** Undefined when there is no end. */
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

  constructor(terminal: boolean) {
    this.#terminal = terminal;
  }

  show(moment: Moment): void {
    this.#measure(moment);
    if (this.#terminal) {
      logUpdate(this.#table(moment));
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
    const latencies = worker.latencies();
    return {
      type: "progress",
      phase,
      seconds: Math.round(elapsedMs / 1_000),
      sent,
      queued: account.queued,
      completed: account.completed,
      deadLettered: account.deadLettered,
      perSecond: this.#perSecond,
      inFlight: worker.view?.inFlight ?? 0,
      latencyMs: { p50: latencies.getValueAtPercentile(50), p99: latencies.getValueAtPercentile(99) },
    };
  }

  #table(moment: Moment): string {
    const { account, worker, phase, sent, wanted, elapsedMs } = moment;
    const latencies = worker.latencies();
    const { outcomes } = worker.totals();
    const style = { head: [], border: [], compact: true };
    const flow = new Table({ style, head: ["throughput", "in flight", "queued", "p50", "p99"] });
    const ms = (value: number): string => `${Math.round(value)} ms`;
    flow.push([`${this.#perSecond}/s`, worker.view?.inFlight ?? 0, account.queued, ms(latencies.getValueAtPercentile(50)), ms(latencies.getValueAtPercentile(99))]);
    const ends = new Table({ style, head: Object.keys(outcomes) });
    if (Object.keys(outcomes).length > 0) ends.push(Object.values(outcomes));
    const gates = new Table({ style, head: ["bulkhead", "in use", "waiting", "circuit"] });
    for (const gate of worker.view?.gates ?? []) {
      gates.push([gate.dependency, `${gate.inUse} of ${gate.concurrentMax}`, `${gate.waiting} of ${gate.queueMax}`, gate.circuit]);
    }
    const progress = `${Math.round(elapsedMs / 1_000)} s  ${phase}  sent ${sent}${wanted === undefined ? "" : ` of ${wanted}`}`;
    return [progress, flow.toString(), ends.toString(), gates.toString(), wanted === undefined ? "Ctrl-C drains and ends" : ""].join("\n");
  }
}
