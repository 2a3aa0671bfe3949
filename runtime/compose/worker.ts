/** A whole worker, of the parts that the other files of this folder make. */
import { randomUUID } from "node:crypto";
import { availableParallelism, hostname } from "node:os";
import { collectGarbage } from "../adapters/threads/collect-garbage.ts";
import { watchLoopDelay } from "../adapters/system/loop-delay.ts";
import { memoryUseWithin } from "../adapters/system/memory.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { writeSkillLog } from "../adapters/telemetry/log.ts";
import type { Config } from "../core/config.ts";
import { consumerName, retryEntityOf, soleSource } from "../core/config/sources.ts";
import type { CredentialNews } from "../core/credential-news.ts";
import type { RunKind } from "../core/run.ts";
import { createPayloadHash } from "../core/payload-hash.ts";
import { readRoute } from "../core/read-route.ts";
import { Worker } from "../pipeline/lifecycle.ts";
import { Caution } from "../policy/caution.ts";
import type { CircuitState } from "../policy/circuit.ts";
import { CredentialWatch } from "../policy/credential-watch.ts";
import { StoreDoubt } from "../policy/store-doubt.ts";
import { composeLimits } from "./limits.ts";
import { composePublisher, composeTransport, entityFor } from "./broker.ts";
import { composeExecutor, limitsOf } from "./executor.ts";
import { composeShedding } from "./priorities.ts";
import { composeRecoveryQueue, composeSideJobs } from "./recovery.ts";
import type { ComposedMemory } from "./memory.ts";
import { composeSkills } from "./skills.ts";
import { composeRunStore, suspectMsOf } from "./store.ts";
import { type ComposedTelemetry, composeTelemetry } from "./telemetry.ts";

/** Circuit states as the threads read them. */
const circuitNumbers: Readonly<Record<CircuitState, number>> = { closed: 0, open: 1, "half-open": 2, isolated: 1 };

export interface ComposedWorker extends Omit<ComposedTelemetry, "telemetry" | "escalations" | "platform"> {
  readonly worker: Worker;
  /** What runs that begin here are recorded as. */
  readonly kinds: readonly RunKind[];
  /** How its memory is shared out. */
  readonly memory: ComposedMemory;
}

/** Loads the plugins and makes a worker of them; nothing is connected before its `start`. */
export async function composeWorker(config: Config, directory: string): Promise<ComposedWorker> {
  const skills = await composeSkills(config, directory);
  const { plugins, registry } = skills;
  const workerId = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  const heard = (news: CredentialNews): void => credentials.heard(news);
  const publisher = await composePublisher(config, heard);
  const store = composeRunStore(config, directory, {
    onForgotten: (what) => telemetry.emit({ type: "store.forgot", what }),
    onSuspect: (suspicion) => storeDoubt.lost(suspicion),
    heard,
  });
  const queue = composeRecoveryQueue(config, directory, store);
  const { telemetry, escalations, platform, ...reports } = composeTelemetry(config, directory, { workerId, publisher, queue });
  for (const part of plugins.flatMap(({ slow }) => slow)) telemetry.emit({ type: "plugin.slow", thread: "main", ...part });
  const threads = config.threads ?? availableParallelism();
  const { executor, circuits, retries, memory } = composeExecutor(config, skills, {
    threads,
    log: (lines) => writeSkillLog(reports.logger, lines),
    slow: (part) => telemetry.emit({ type: "plugin.slow", thread: "skills", ...part }),
  });
  const limits = limitsOf(config);
  const storeDoubt = new StoreDoubt({ clock: systemClock, windowMs: suspectMsOf(config), tell: (event) => telemetry.emit(event) });
  const credentials = new CredentialWatch({ clock: systemClock, tell: (event) => telemetry.emit(event) });
  const worker = new Worker({
    clock: systemClock,
    random: Math.random,
    workerId,
    consumer: consumerName(soleSource(config)),
    transport: await composeTransport(config, heard),
    publisher,
    store,
    recovery: queue && { queue, compensateAfterMs: config.recovery.compensateAfterMs },
    executor,
    telemetry,
    // In the order of their stop: what is decided goes to the queue, and what becomes of it to the platform.
    reporters: [escalations, queue && composeSideJobs(config, directory, { workerId, queue, store, publisher, telemetry, escalations }), platform].filter(
      (part) => part !== undefined,
    ),
    skills: registry,
    skillCount: registry.skills.length,
    threads,
    leakedThreadsMax: config.stuckThreads.leakedMax,
    dependencies: registry.dependencies,
    sharedLimits: composeLimits(config, directory, registry.dependencies),
    retryBudget: config.retryBudget,
    retryLedger: retries,
    ...composeShedding(config, registry),
    latencyWatch: config.latencyWatch,
    readRoute: (delivery) => readRoute(delivery, limits, config.envelopes),
    hashPayload: createPayloadHash(limits),
    inFlightMax: config.inFlightMax,
    sessions: soleSource(config).sessions,
    readsBesideSessions: "topic" in soleSource(config),
    intake: { start: 4 * threads, floor: threads, ceiling: config.inFlightMax, waitMaxMs: config.beginWithinMs },
    deliveriesMax: config.deliveriesMax,
    resends: config.resends,
    retryEntity: retryEntityOf(soleSource(config)),
    entityFor: (eventType) => entityFor(config, eventType),
    storeHoldMaxMs: config.storeHoldMaxMs,
    silenceMaxMs: config.silenceMaxMs,
    caution: new Caution(),
    storeDoubt,
    credentials,
    heldBytesMax: memory.heldBytes,
    collectGarbage,
    memory: memoryUseWithin(config.memoryBytesMax),
    loopDelay: watchLoopDelay(),
    circuitChanged: (dependency, state) => Atomics.store(circuits, dependency, circuitNumbers[state]),
  });
  return { worker, kinds: registry.kinds, memory, ...reports };
}
