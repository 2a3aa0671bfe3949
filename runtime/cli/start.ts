/** `holdfast start`: the worker alone, until SIGTERM or SIGINT. */
import { flushCompileCache } from "node:module";
import { letYoungGenerationGrow } from "../adapters/system/young-generation.ts";
import { collectGarbage } from "../adapters/threads/collect-garbage.ts";
import { endProcess } from "../adapters/threads/end-process.ts";
import { describeMemory } from "../compose/memory.ts";
import { nameKinds } from "../compose/store.ts";
import { type ComposedWorker, composeWorker } from "../compose/worker.ts";
import type { Life } from "../admin/probes.ts";
import type { Config } from "../core/config.ts";
import { HoldfastError } from "../core/errors.ts";
import type { Worker } from "../pipeline/lifecycle.ts";
import type { WorkerView } from "../pipeline/worker-view.ts";
import { openAdmin } from "./admin.ts";
import { checkSurroundings } from "./checks.ts";
import { exitCodes } from "./exit-codes.ts";
import { type Finding, describeFinding } from "./finding.ts";
import { type Heartbeat, startHeartbeat } from "./heartbeat.ts";
import { keepChecking } from "./keep-checking.ts";
import { type ConfigFlags, loadConfig } from "./load-config.ts";
import { holdForeignOutput, showForeignOutput } from "./output.ts";
import { takeOver } from "./stop-signals.ts";
import { reportIntake, reportLatency, reportSessions, reportShedding, reportSuspects, waitsFor } from "../admin/worker-state.ts";

/** How often a parent process that listens gets the worker's numbers. */
const reportEveryMs = 200;
/** Past the budget by this much, the process ends without waiting for whatever hangs. */
const stopMarginMs = 5_000;
/** What a worker loads once it is up, such as the recovery queue, is loaded by then. */
const settledAfterMs = 3_000;
/** How soon it is seen that there is work. */
const lookForWorkEveryMs = 50;
/** How often the log sums up what happened. */
const summaryEveryMs = 60_000;

export interface StartOptions extends ConfigFlags {
  readonly config?: string;
}

export async function start(options: StartOptions): Promise<void> {
  // Nothing of the worker's own is written but its log; what its configuration and its plugins print from here on becomes lines of it.
  holdForeignOutput();
  const { config, directory } = await loadConfig(options.config, options);
  const [composed, findings] = await Promise.all([composeWorker(config, directory), checkSurroundings(config, directory)]);
  const { worker, kinds, memory, summaries, logger } = composed;
  showForeignOutput(({ level, text, fields }) => logger[level](fields, text));
  refuseWhenFailed(findings, config);
  logger.info({ type: "memory", ...memory }, describeMemory(memory));
  await nameKinds(config, directory, kinds);
  const report = (): void => reportToParent(composed);
  const reports = process.send === undefined ? undefined : setInterval(report, reportEveryMs);
  const sumUp = (): void => {
    const summary = summaries.take();
    if (summary !== undefined) logger.info({ type: "summary", ...summary, inFlight: worker.view().inFlight }, "summary");
  };
  const summing = setInterval(sumUp, summaryEveryMs);
  const stopped = Promise.withResolvers<void>();
  let late: NodeJS.Timeout | undefined;
  let heartbeat: Heartbeat | undefined;
  let settling: NodeJS.Timeout | undefined;
  const stop = (reason: string): void => {
    if (late !== undefined) return;
    logger.info({ reason, budgetMs: config.stopBudgetMs }, "stopping");
    heartbeat?.stop();
    late = setTimeout(() => {
      logger.error({ inFlight: worker.view().inFlight }, "expected the worker to stop within its budget; what it held is redelivered when its locks end");
      void endProcess(exitCodes.failed);
    }, config.stopBudgetMs + stopMarginMs);
    worker.stop(config.stopBudgetMs).then(stopped.resolve, stopped.reject);
  };
  let phase: Life["phase"] = "starting";
  let wornOut: string | undefined;
  const life = (): Life => ({ phase: late === undefined ? phase : "stopping", wornOut });
  takeOver({ stop, say: (text) => logger.warn(text), end: (code) => void endProcess(code) });
  void worker.wornOut.then((reason) => {
    wornOut = reason;
    if (late !== undefined) return;
    process.exitCode = exitCodes.restart;
    stop(reason);
  });
  const admin = await openAdmin(config, directory, { ...composed, life, drain: (reason) => stop(`drained over the admin API: ${reason}`) });
  // What does not get started, because something outside does not answer, does not keep it from stopping.
  await Promise.race([worker.start(), stopped.promise]);
  if (late === undefined) {
    heartbeat = startHeartbeat(
      process.env["HOLDFAST_HEARTBEAT"],
      () => stateOf(worker.view()),
      (text) => logger.warn(text),
    );
    phase = "running";
    process.send?.({ type: "ready", admin: admin?.url });
    settling = settleMemory(worker);
  }
  const endChecking = keepChecking(config, directory, logger, findings);
  await stopped.promise;
  endChecking();
  await admin?.stop();
  clearTimeout(late);
  clearInterval(settling);
  clearInterval(reports);
  clearInterval(summing);
  sumUp();
  report();
  if (process.connected) process.disconnect();
}

/**
 * Once everything is loaded, what the start has left behind is given back while nobody waits for it, and heaps may grow with the work. Work
 * that comes before then does not wait for that: with a small young generation it would be collected several times as often.
 */
function settleMemory(worker: Pick<Worker, "view">): NodeJS.Timeout {
  // An end that does not wait for threads writes nothing of the cache.
  flushCompileCache();
  const readyMs = performance.now();
  const looking = setInterval(() => {
    const isIdle = worker.view().inFlight === 0;
    if (isIdle && performance.now() - readyMs < settledAfterMs) return;
    clearInterval(looking);
    if (isIdle) collectGarbage();
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

/**
 * What `doctor` fails, no worker starts with: it would lose messages, run them twice, or get none. But one of several sources that may yet
 * be there, be enabled or be allowed does not keep the others from being read.
 */
function refuseWhenFailed(findings: readonly Finding[], { sources }: Config): void {
  const all = findings.filter(({ verdict }) => verdict === "failed");
  const away = new Set(all.flatMap(({ awaits }) => awaits ?? []));
  const failed = away.size < sources.length ? all.filter(({ awaits }) => awaits === undefined) : all;
  if (failed.length === 0) return;
  throw new HoldfastError(
    "HOLDFAST_REFUSED",
    `the worker was not started; \`holdfast doctor\` shows the same:\n${failed.map((finding) => `  ${describeFinding(finding)}`).join("\n")}`,
  );
}
