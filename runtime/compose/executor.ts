/** The threads that run skills. */
import { createThreadsExecutor, type ThreadsExecutor } from "../adapters/threads/executor.ts";
import type { ThreadsExecutorOptions } from "../adapters/threads/thread-options.ts";
import type { Config } from "../core/config.ts";
import { consumerName } from "../core/config/sources.ts";
import { type DecodeLimits, defaultDecodeLimits } from "../core/read-route.ts";
import { RetryLedger, retryLedgerBytes } from "../policy/retry-ledger.ts";
import { Flags } from "../skills/host/flags.ts";
import { type ComposedMemory, composeMemory } from "./memory.ts";
import type { ComposedSkills } from "./skills.ts";

export function limitsOf(config: Config): DecodeLimits {
  return { ...defaultDecodeLimits, bodyBytesMax: config.bodyBytesMax, demandsAttributes: !config.envelopeDefaults };
}

export function composeExecutor(
  config: Config,
  skills: ComposedSkills,
  { threads, ...reports }: Pick<ThreadsExecutorOptions, "log" | "logLevel" | "slow" | "traces" | "rehearses"> & { readonly threads: number },
): {
  readonly executor: ThreadsExecutor;
  readonly flags: Flags;
  readonly circuits: Int32Array;
  readonly retries: RetryLedger;
  readonly memory: ComposedMemory;
} {
  const { plugins, registry, contracts } = skills;
  const memory = composeMemory(config, skills);
  const circuits = new SharedArrayBuffer(Math.max(1, registry.dependencies.length) * Int32Array.BYTES_PER_ELEMENT);
  const retries = new SharedArrayBuffer(retryLedgerBytes);
  const flags = Flags.of(config.flags);
  const executor = createThreadsExecutor({
    ...reports,
    plugins,
    contracts: contracts?.settings,
    threads,
    consumers: config.sources.map(consumerName),
    settings: (plugin) => skills.settings.get(plugin)?.now(),
    dependencies: registry.dependencies.map(({ name }) => name),
    dependencyConfig: config.dependencies,
    circuits,
    flags: flags.shared,
    retries,
    limits: limitsOf(config),
    heapBytesMax: memory.threadHeapBytes,
    graceMs: config.stuckThreads.graceMs,
    stuckAfterMs: config.stuckThreads.afterMs,
    endWithinMs: config.stuckThreads.endWithinMs,
  });
  return { executor, flags, circuits: new Int32Array(circuits), retries: new RetryLedger(retries), memory };
}
