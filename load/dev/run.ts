/** One trial from start to summary. */
import { setTimeout as pause } from "node:timers/promises";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { writeLogLine } from "#runtime/cli/log-line.ts";
import { takeOver } from "#runtime/cli/stop-signals.ts";
import { HoldfastError } from "#runtime/core/errors.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import type { BrokerAccount } from "./broker-account.ts";
import { BySecond } from "./by-second.ts";
import { Progress } from "./progress.ts";
import { Display } from "./display.ts";
import { HangComparison } from "./hang-comparison.ts";
import { hasScreen, openPage } from "./open-page.ts";
import { type Source, Stream, makeAhead } from "./stream.ts";
import { type Summary, isSound, summarise } from "./verdict.ts";
import { warmUp } from "./warm-up.ts";
import { type World, startWorld } from "./world.ts";

export interface DevOptions {
  readonly events?: number;
  readonly rate: number;
  readonly duplicates: number;
  readonly poison: number;
  readonly seed: number;
  readonly killWorkerAfter?: number;
  readonly hang?: string;
  readonly transport: TransportKind;
  /** Have the world work before the trial begins. */
  readonly warmUp: boolean;
  /** Show the live page in a browser, where there is somebody to see it. */
  readonly open: boolean;
}

/** Events of a trial that does something after a share of them and names no number. */
const eventsDefault = 20_000;
/** How often the world is looked at. */
const lookEveryMs = 100;
/** A trial in which nothing ends for this long is given up. */
const stallMaxMs = 120_000;
/** Seconds of which the account gives the throughput one by one. */
const secondsListedMax = 60;

const say = (text: string): void => writeLogLine({ level: "info", text: `holdfast dev: ${text}` });

/** Runs a trial; `good` when every promise held, or it was stopped before it began, else `failed`. */
export async function runDev(given: DevOptions): Promise<number> {
  const options = withEvents(given);
  const interrupted = new AbortController();
  takeOver({ stop: () => interrupted.abort(), say: (text) => writeLogLine({ level: "warn", text }) });
  const display = new Display(process.stdout);
  const [world, source] = await Promise.all([startWorld(options.transport, interrupted.signal), makeAhead(options, interrupted.signal)]);
  if (world === undefined) return stoppedEarly();
  try {
    if (options.warmUp) {
      say("warming up: for some seconds the worker runs events that no figure counts (--no-warm-up leaves them out)");
      const messages = await warmUp(world, { ...options, eventsMax: options.events ?? Number.MAX_SAFE_INTEGER, signal: interrupted.signal });
      if (interrupted.signal.aborted) return stoppedEarly();
      say(`warmed up with ${messages} messages: account and live page begin now; the worker's /metrics count those messages, too`);
    }
    showPage(options, world.worker.page);
    const trial = new Trial(options, source, world, display, interrupted.signal);
    const summary = await trial.run();
    process.stdout.write(`${JSON.stringify(summary)}\n`);
    return isSound(summary) && trial.metExpectations() ? exitCodes.good : exitCodes.failed;
  } finally {
    await world.stop();
  }
}

function showPage({ open }: DevOptions, page: string | undefined): void {
  if (open && page !== undefined && hasScreen({ isTerminal: process.stdout.isTTY, platform: process.platform, environment: process.env })) openPage(page);
}

function stoppedEarly(): number {
  say("it was stopped before anything was sent; there is nothing to account for");
  return exitCodes.good;
}

/** A trial that does something after a share of its events has an end. */
function withEvents(options: DevOptions): DevOptions {
  const isShare = options.hang !== undefined || options.killWorkerAfter !== undefined;
  const events = options.events ?? (isShare ? eventsDefault : undefined);
  return { ...options, ...(events === undefined ? {} : { events }) };
}

class Trial {
  readonly #options: DevOptions;
  readonly #world: World;
  readonly #display: Display;
  readonly #interrupted: AbortSignal;
  readonly #stream: Stream;
  readonly #startedMs = performance.now();
  readonly #bySecond = new BySecond(secondsListedMax);
  #hang: HangComparison | undefined;
  #lastEndMs = performance.now();
  #lastEnded = 0;
  #killed = false;

  constructor(options: DevOptions, source: Source, world: World, display: Display, interrupted: AbortSignal) {
    this.#world = world;
    this.#display = display;
    this.#interrupted = interrupted;
    this.#options = options;
    this.#stream = new Stream(options, source, world);
  }

  async run(): Promise<Summary & Record<string, unknown>> {
    await this.#work();
    await this.#world.worker.stop();
    // The last frame says what the account says.
    const account = await this.#look(this.#interrupted.aborted ? "stopped" : "done", true);
    this.#display.end();
    const latencies = this.#world.worker.reports.latencies();
    const summary = await summarise({
      events: this.#stream.sent.events,
      account,
      broker: this.#world.broker,
      standIns: this.#world.standIns,
      store: this.#world.store,
      messages: this.#stream.sentMessages(),
      elapsedMs: this.#lastEndMs - (this.#stream.startedMs ?? this.#startedMs),
      bySecond: this.#bySecond.list(),
      latencyMs: { p50: latencies.percentile(50), p99: latencies.percentile(99) },
      resumed: this.#world.worker.reports.totals().events["run.resumed"] ?? 0,
    });
    return { ...summary, ...(this.#hang === undefined ? {} : { hang: this.#hang.result }) };
  }

  /** Whether a comparison that was asked for, and made to its end, came out as promised. */
  metExpectations(): boolean {
    return this.#hang === undefined || this.#interrupted.aborted || this.#hang.result.ratio >= this.#hang.result.ratioExpected;
  }

  async #work(): Promise<void> {
    const { hang, events } = this.#options;
    if (hang !== undefined) {
      this.#hang = new HangComparison(hang, this.#stream, this.#world, this.#interrupted, (phase, done) => this.#until(phase, done));
      return this.#hang.run(events ?? eventsDefault);
    }
    const isSteady = events === undefined;
    const sending = new Progress(isSteady ? this.#stream.sendSteadily(this.#interrupted) : this.#stream.send(this.#interrupted));
    await this.#until(isSteady ? "steady" : "working", ({ queued }) => sending.isDone() && (isSteady || queued === 0));
    await sending.done;
  }

  /** Looks at the world until `done`, an interruption or a stall. */
  async #until(phase: string, done: (account: BrokerAccount) => boolean): Promise<void> {
    for (;;) {
      const account = await this.#look(phase);
      if (done(account) || this.#interrupted.aborted) return;
      const idleMs = performance.now() - this.#lastEndMs;
      if (idleMs > stallMaxMs)
        throw new HoldfastError(
          "HOLDFAST_TRIAL_STALLED",
          `expected messages to end, none did for ${stallMaxMs / 1_000} s with ${account.queued} queued, of which ${account.dueLater} are due later; see the worker's log above`,
        );
      await this.#killWhenDue(this.#lastEnded);
      await pause(lookEveryMs);
    }
  }

  async #look(phase: string, isOver = false): Promise<BrokerAccount> {
    const account = await this.#world.broker.account();
    const nowMs = performance.now();
    const ended = account.completed + account.deadLettered;
    if (ended !== this.#lastEnded) {
      this.#lastEnded = ended;
      this.#lastEndMs = nowMs;
    }
    this.#stream.look(account);
    this.#bySecond.look(nowMs - (this.#stream.startedMs ?? nowMs), ended);
    this.#display.show({
      elapsedMs: nowMs - this.#startedMs,
      phase,
      isOver,
      sent: this.#stream.sent,
      wanted: this.#options.events,
      account,
      worker: this.#world.worker,
    });
    return account;
  }

  async #killWhenDue(ended: number): Promise<void> {
    const { killWorkerAfter, events } = this.#options;
    if (this.#killed || killWorkerAfter === undefined || events === undefined || ended < killWorkerAfter * events) return;
    this.#killed = true;
    await this.#world.worker.kill();
    await this.#world.worker.start();
  }
}
