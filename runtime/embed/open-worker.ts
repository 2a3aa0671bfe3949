/** The parts of an embedded worker, loaded when one starts. */
import { type Health, liveness, readiness } from "../admin/probes.ts";
import { composeBacklog, metricsText } from "../compose/metrics-text.ts";
import { openSecrets } from "../compose/secrets.ts";
import type { Hosting } from "../compose/worker.ts";
import { type ConfigInput, parseConfig } from "../core/config.ts";
import { type HostedWorker, hostWorker } from "./hosted-worker.ts";

export interface OpenWorker {
  /** True once it receives; false when it was asked to stop meanwhile. */
  start(): Promise<boolean>;
  stop(): Promise<void>;
  onStop(listener: () => void): void;
  health(): { readonly live: Health; readonly ready: Health; readonly inFlight: number };
  metrics(): Promise<string>;
  /** What a listener has thrown goes to the log. */
  listenerFailed(error: unknown, type: string): void;
}

/** Composed, and not started. Throws `ConfigurationError`. */
export async function openWorker(input: ConfigInput, directory: string, hosting: Pick<Hosting, "telemetry" | "log">): Promise<OpenWorker> {
  const config = parseConfig(input, "createWorker");
  await openSecrets(config, directory);
  const hosted: HostedWorker = await hostWorker(config, directory, { ...hosting, isMeasured: true, isEmbedded: true });
  const { worker, logger, metrics } = hosted.composed;
  const backlog = composeBacklog(config);
  return {
    async start() {
      await hosted.prepare();
      return hosted.start();
    },
    stop: () => hosted.stop("the program that it lives in asks it to"),
    onStop: (listener) => hosted.onStop(listener),
    health: () => ({ live: liveness(hosted.life), ready: readiness(hosted.life, worker.view()), inFlight: worker.view().inFlight }),
    metrics: async () => (metrics === undefined ? "" : metricsText({ ...hosted.composed, metrics }, backlog)),
    listenerFailed: (err, type) => logger.error({ err, type }, "a listener has thrown; what it threw changes nothing for the worker"),
  };
}
