/** A whole worker, of the parts that the other files of this folder make. */
import { randomUUID } from "node:crypto";
import { availableParallelism, hostname } from "node:os";
import { collectGarbage } from "../adapters/threads/collect-garbage.ts";
import { watchLoopDelay } from "../adapters/system/loop-delay.ts";
import { watchMainLoopUse } from "../adapters/system/main-loop-use.ts";
import { memoryUseWithin } from "../adapters/system/memory.ts";
import { systemClock } from "../adapters/system/clock.ts";
import type { Metrics } from "../adapters/telemetry/metrics/metrics.ts";
import type { Config } from "../core/config.ts";
import type { RuntimeEvent } from "../core/catalogue.ts";
import type { CredentialNews } from "../core/credential-news.ts";
import type { Delivery } from "../core/delivery.ts";
import type { RunKind } from "../core/run.ts";
import { createPayloadHash } from "../core/payload-hash.ts";
import { readRoute, type RouteResult } from "../core/read-route.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { RecoveryQueue } from "../ports/recovery-queue.ts";
import type { Reporter, Telemetry } from "../ports/telemetry.ts";
import { Worker } from "../pipeline/lifecycle.ts";
import { Caution } from "../policy/caution.ts";
import type { CircuitState } from "../policy/circuit.ts";
import { CredentialWatch } from "../policy/credential-watch.ts";
import type { IntakeBounds } from "../policy/intake-window.ts";
import type { RegisteredSkill } from "../skills/host/registry.ts";
import type { Fleet } from "../admin/fleet.ts";
import { composeFleet } from "./fleet.ts";
import { composeLive } from "./live.ts";
import { composeLimits } from "./limits.ts";
import { composePublisher, entityFor } from "./broker.ts";
import { composeExecutor, limitsOf } from "./executor.ts";
import { composeShedding } from "./priorities.ts";
import type { ComposedMemory } from "./memory.ts";
import { composeRecoveryQueue, composeSideJobs, type RecoveryParts } from "./recovery.ts";
import { composeSecretKeeper, openSecrets } from "./secrets.ts";
import { composeSkills } from "./skills.ts";
import { composeSources } from "./sources.ts";
import { type ComposedTelemetry, composeLogExport, composeMetrics, composeTelemetry, composeTraces, skillLines } from "./telemetry.ts";

/** Circuit states as the threads read them. */
const circuitNumbers: Readonly<Record<CircuitState, number>> = { closed: 0, open: 1, "half-open": 2, isolated: 1 };

export interface ComposedWorker extends Omit<ComposedTelemetry, "telemetry" | "escalations" | "platform"> {
  readonly worker: Worker;
  readonly workerId: string;
  /** What is registered. */
  readonly skills: readonly RegisteredSkill[];
  readonly threads: number;
  /** Undefined where nobody can ask for them. */
  readonly metrics: Metrics | undefined;
  /** What it sends with; started and stopped by the worker. */
  readonly publisher: Publisher;
  /** What it tells the others of its pool, and hears of them. */
  readonly fleet: Fleet;
  /** What runs that begin here are recorded as. */
  readonly kinds: readonly RunKind[];
  /** How its memory is shared out. */
  readonly memory: ComposedMemory;
}

/** What whoever runs the worker has to do with it, beside its configuration. */
export interface Hosting {
  /** Hears what happens, beside the log and the counts. */
  readonly telemetry?: Telemetry | undefined;
  /** Gets the lines of the log, each with its line break, in place of standard error. */
  readonly log?: ((line: string) => void) | undefined;
  /** Counts for metrics, also without an admin server that shows them. */
  readonly isMeasured?: boolean | undefined;
  /** It lives in a process of somebody else, whose output is left alone. */
  readonly isEmbedded?: boolean | undefined;
  /** Somebody waits for it to take its first event: its threads do so without having rehearsed. */
  readonly isHasty?: boolean | undefined;
}

type SideParts = Omit<RecoveryParts, "queue"> & { readonly queue: RecoveryQueue | undefined };

/** In the order of their stop: what is decided goes to the queue, and what becomes of it to the platform. */
function reportersOf(config: Config, directory: string, { queue, ...parts }: SideParts, others: readonly (Reporter | undefined)[]): readonly Reporter[] {
  const sideJobs = queue && composeSideJobs(config, directory, { queue, ...parts });
  return [parts.escalations, sideJobs, ...others].filter((part) => part !== undefined);
}

/** Loads the plugins and makes a worker of them; nothing is connected before its `start`. */
export async function composeWorker(config: Config, directory: string, hosting: Hosting = {}): Promise<ComposedWorker> {
  await openSecrets(config, directory);
  const skills = await composeSkills(config, directory, hosting.isEmbedded);
  const workerId = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  const heard = (news: CredentialNews): void => credentials.heard(news);
  const publisher = await composePublisher(config, heard);
  const tell = (event: RuntimeEvent): void => telemetry.emit(event);
  const { sources, board } = await composeSources(config, directory, { skills: skills.registry, heard, tell });
  const queue = composeRecoveryQueue(config, directory, sources[0]?.store, heard);
  const metrics = await composeMetrics(config.admin !== undefined || hosting.isMeasured === true, skills.registry);
  const traces = await composeTraces(config, process.env);
  const tracing = traces?.start(workerId, tell);
  const reporting = { exported: await composeLogExport(process.env, workerId, tell), workerId, publisher, queue, board, heard, metrics, ...hosting };
  const { telemetry, escalations, platform, ...reports } = composeTelemetry(config, directory, reporting);
  for (const part of skills.plugins.flatMap(({ slow }) => slow)) telemetry.emit({ type: "plugin.slow", thread: "main", ...part });
  const threads = config.threads ?? availableParallelism();
  const { executor, flags, circuits, retries, memory } = composeExecutor(config, skills, {
    threads,
    ...skillLines(reports.logger),
    slow: (part) => telemetry.emit({ type: "plugin.slow", thread: "skills", ...part }),
    traces: traces?.policy,
    rehearses: hosting.isHasty !== true,
  });
  const credentials = new CredentialWatch({ clock: systemClock, tell });
  const fleet = composeFleet({ ...reporting, threads, statistics: reports.statistics, view: () => worker.view() });
  const worker: Worker = new Worker({
    clock: systemClock,
    random: Math.random,
    workerId,
    sources: metrics === undefined ? sources : sources.map((source) => ({ ...source, store: metrics.measured(source.store, systemClock) })),
    publisher,
    recovery: queue && { queue, compensateAfterMs: config.recovery.compensateAfterMs },
    executor,
    telemetry,
    meter: metrics,
    tracing,
    escalated: escalations && (() => escalations.intent()),
    reporters: [
      composeLive(config, directory, { worker: () => worker, flags, logger: reports.logger, tell }),
      composeSecretKeeper(config, directory, { tell, replaced: () => executor.renewSettings() }),
      ...reportersOf(config, directory, { ...reporting, stores: sources.map(({ store }) => store), telemetry, escalations }, [tracing, platform, fleet]),
    ].filter((reporter) => reporter !== undefined),
    skillCount: skills.registry.skills.length,
    threads,
    leakedThreadsMax: config.stuckThreads.leakedMax,
    dependencies: skills.registry.dependencies,
    sharedLimits: composeLimits(config, directory, skills.registry.dependencies, heard),
    retryBudget: config.retryBudget,
    retryLedger: retries,
    ...composeShedding(config, skills.registry),
    latencyWatch: config.latencyWatch,
    readRoute: routeReader(config),
    hashPayload: createPayloadHash(limitsOf(config)),
    inFlightMax: config.inFlightMax,
    intake: intakeOf(config, threads),
    resends: config.resends,
    entityFor: (eventType) => entityFor(config, eventType),
    storeHoldMaxMs: config.storeHoldMaxMs,
    silenceMaxMs: config.silenceMaxMs,
    caution: new Caution(),
    credentials,
    heldBytesMax: memory.heldBytes,
    collectGarbage,
    memory: memoryUseWithin(config.memoryBytesMax),
    loopDelay: watchLoopDelay(),
    mainLoopUse: watchMainLoopUse(),
    circuitChanged: (dependency, state) => Atomics.store(circuits, dependency, circuitNumbers[state]),
  });
  return { worker, workerId, kinds: skills.registry.kinds, skills: skills.registry.skills, threads, memory, metrics, publisher, fleet, ...reports };
}

function routeReader(config: Config): (delivery: Delivery) => RouteResult {
  const limits = limitsOf(config);
  return (delivery) => readRoute(delivery, limits, config.envelopes);
}

/** Of several sources each begins with its part; and each has something at hand when its turn comes, though runs of others go before it. */
function intakeOf({ sources, inFlightMax, beginWithinMs }: Config, threads: number): IntakeBounds {
  const part = (messages: number): number => Math.ceil(messages / sources.length);
  const bounds = { start: part(4 * threads), floor: part(threads), ceiling: inFlightMax, waitMaxMs: beginWithinMs };
  return sources.length === 1 ? bounds : { ...bounds, enoughMs: enoughOfManyMs };
}

const enoughOfManyMs = 100;
