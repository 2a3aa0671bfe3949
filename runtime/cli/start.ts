/** `holdfast start`: the worker alone, until SIGTERM or SIGINT. */
import { composeWorker } from "../compose.ts";
import { exitCodes } from "./exit-codes.ts";
import { loadConfig } from "./load-config.ts";
import { takeOver } from "./stop-signals.ts";

/** How often a parent process that listens is told the worker's numbers. */
const reportEveryMs = 200;
/** Past the budget by this much, the process ends without waiting for whatever hangs. */
const stopMarginMs = 5_000;

export async function start(options: { readonly config?: string }): Promise<void> {
  const { config, directory } = await loadConfig(options.config);
  const { worker, statistics, logger } = await composeWorker(config, directory);
  const report = (): void => {
    process.send?.({ type: "report", statistics: statistics.snapshot(), view: worker.view(), latencies: statistics.latencies() });
  };
  const reports = process.send === undefined ? undefined : setInterval(report, reportEveryMs);
  const stopped = Promise.withResolvers<void>();
  let late: NodeJS.Timeout | undefined;
  const stop = (reason: string): void => {
    logger.info({ reason, budgetMs: config.stopBudgetMs }, "stopping");
    late = setTimeout(() => {
      logger.error({ inFlight: worker.view().inFlight }, "expected the worker to stop within its budget; what it held comes again when its locks end");
      process.exit(exitCodes.failed);
    }, config.stopBudgetMs + stopMarginMs);
    worker.stop(config.stopBudgetMs).then(stopped.resolve, stopped.reject);
  };
  takeOver({ stop, say: (text) => logger.warn(text) });
  // What does not get started, because something outside does not answer, does not keep it from stopping.
  await Promise.race([worker.start(), stopped.promise]);
  if (late === undefined) process.send?.({ type: "ready" });
  await stopped.promise;
  clearTimeout(late);
  clearInterval(reports);
  report();
  if (process.connected) process.disconnect();
}
