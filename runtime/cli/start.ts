/** `holdfast start`: the worker alone, until SIGTERM or SIGINT. */
import { flushCompileCache } from "node:module";
import { letYoungGenerationGrow } from "../adapters/system/young-generation.ts";
import { endProcess } from "../adapters/threads/end-process.ts";
import type { ComposedWorker, Hosting } from "../compose/worker.ts";
import { hostWorker } from "../embed/hosted-worker.ts";
import type { Worker } from "../pipeline/lifecycle.ts";
import type { WorkerView } from "../pipeline/worker-view.ts";
import { fieldOf } from "../core/redact.ts";
import { exitCodes } from "./exit-codes.ts";
import { type Heartbeat, startHeartbeat } from "./heartbeat.ts";
import { type ConfigFlags, loadConfig } from "./load-config.ts";
import { useLogger } from "./log-line.ts";
import { holdForeignOutput, showForeignOutput } from "./output.ts";
import { hasStopped, takeOver } from "./stop-signals.ts";
import { reportIntake, reportLatency, reportSessions, reportShedding, reportSuspects, waitsFor } from "../admin/worker-state.ts";

/** How often a parent process that listens gets the worker's numbers. */
const reportEveryMs = 200;
/** Past the budget by this much, the process ends without waiting for whatever hangs. */
const stopMarginMs = 5_000;
/** How long after its start a worker that has nothing to do gives back what the start has left. */
const settledAfterMs = 3_000;
/** For what it loads once it is up, such as the recovery queue, it waits longer, but not for ever: Redis may be away. */
const loadedWithinMs = 60_000;
/** How soon it is seen that there is work. */
const lookForWorkEveryMs = 50;

export interface StartOptions extends ConfigFlags {
  readonly config?: string;
}

/** `hosting`: what a parent that tries code out has it do otherwise. */
export async function start(options: StartOptions, hosting: Pick<Hosting, "isHasty"> = {}): Promise<void> {
  // Nothing of the worker's own is written but its log; what its configuration and its plugins print from here on becomes lines of it.
  holdForeignOutput();
  const { config, directory } = await loadConfig(options.config, options);
  const hosted = await hostWorker(config, directory, hosting);
  const { worker, logger } = hosted.composed;
  useLogger(({ level, text, fields = {} }) => logger[level](fields, text));
  showForeignOutput();
  await hosted.prepare();
  const report = (): void => reportToParent(hosted.composed);
  const reports = process.send === undefined ? undefined : setInterval(report, reportEveryMs);
  // A trial has begun: what its worker did before was practice.
  if (reports !== undefined) process.on("message", (message) => fieldOf(message, "type") === "begin" && hosted.beginHistory());
  let late: NodeJS.Timeout | undefined;
  let heartbeat: Heartbeat | undefined;
  let settling: NodeJS.Timeout | undefined;
  hosted.onStop(() => {
    heartbeat?.stop();
    late = setTimeout(() => {
      logger.error({ inFlight: worker.view().inFlight }, "expected the worker to stop within its budget; what it held is redelivered when its locks end");
      void endProcess(exitCodes.failed);
    }, config.stopBudgetMs + stopMarginMs);
  });
  // What goes wrong in it ends the command below.
  const stop = (reason: string): void => void hosted.stop(reason).catch(() => undefined);
  takeOver({ stop, say: (text) => logger.warn(text), end: (code) => void endProcess(code) });
  void worker.wornOut.then((reason) => {
    if (hosted.isStopping) return;
    process.exitCode = exitCodes.restart;
    stop(reason);
  });
  if (await hosted.start()) {
    heartbeat = startHeartbeat(
      process.env["HOLDFAST_HEARTBEAT"],
      () => stateOf(worker.view()),
      (text) => logger.warn(text),
    );
    process.send?.({ type: "ready", admin: hosted.adminUrl });
    settling = settleMemory(worker);
  }
  await hosted.stopped;
  hasStopped();
  clearTimeout(late);
  clearInterval(settling);
  clearInterval(reports);
  report();
  if (process.connected) process.disconnect();
}

/**
 * Once everything is loaded, what the start has left behind is given back while nobody waits for it, and heaps may grow with the work. Work
 * that comes before then does not wait for that: with a small young generation it would be collected several times as often.
 */
function settleMemory(worker: Pick<Worker, "view" | "loaded" | "giveBackMemory">): NodeJS.Timeout {
  // An end that does not wait for threads writes nothing of the cache.
  flushCompileCache();
  const readyMs = performance.now();
  let waitsMs = loadedWithinMs;
  void worker.loaded.then(() => (waitsMs = settledAfterMs));
  const looking = setInterval(() => {
    const isIdle = worker.view().inFlight === 0;
    if (isIdle && performance.now() - readyMs < waitsMs) return;
    clearInterval(looking);
    if (isIdle) worker.giveBackMemory();
    letYoungGenerationGrow();
  }, lookForWorkEveryMs);
  return looking;
}

function reportToParent({ worker, statistics }: Pick<ComposedWorker, "worker" | "statistics">): void {
  // A parent that has ended meanwhile misses nothing.
  if (process.connected)
    process.send?.(
      { type: "report", statistics: statistics.snapshot(), view: worker.view(), latencies: statistics.latencies() },
      undefined,
      undefined,
      () => undefined,
    );
}

/** What the heartbeat tells beside its time. */
function stateOf(view: WorkerView): object {
  const waiting = waitsFor(view);
  const troubled = view.sources.flatMap(({ source, trouble }) => (trouble === undefined ? [] : [{ source, trouble }]));
  return {
    ready: waiting.length === 0,
    waitsFor: waiting,
    troubledSources: troubled,
    storeSuspect: reportSuspects(view.storeSuspect, Date.now()),
    loadShedding: reportShedding(view.loadShedding),
    threads: view.threads,
    slow: reportLatency(view.latency),
    intake: reportIntake(view.intake),
    sessions: reportSessions(view.sources),
  };
}
