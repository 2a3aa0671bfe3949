/**
 * The configuration: one schema, checked at start, of the parts in the folder `config`, a file an area. Unknown keys, wrong units and impossible combinations are refused with the
 * key, what was expected and what was found.
 */
import { z } from "zod";
import type { LatencyWatchPolicy } from "./latency-watch.ts";
import type { EnvelopeHook } from "./envelope-hook.ts";
import { ConfigurationError } from "./errors.ts";
import type { ListedPlugin } from "./plugin-object.ts";
import { type RetryBudgetPolicy, defaultRetryBudgetPolicy } from "./skill.ts";
import { type AdminConfig, type AdminSettings, adminSchema } from "./config/admin.ts";
import { type ServiceBusConfig, type ServiceBusSettings, type TransportKind, serviceBusSchema, transportDefault } from "./config/broker.ts";
import { type ContractsConfig, type ContractsSettings, contractsSchema } from "./config/contracts.ts";
import { type DependencyConfig, type SkillConfig, dependencySchema, skillSchema } from "./config/dependencies.ts";
import { type EscalationConfig, type EscalationSettings, escalationSchema } from "./config/escalation.ts";
import { describeIssue, knownKeys } from "./config/explain.ts";
import { byName, dayMs, entityName, hourMs, integer } from "./config/fields.ts";
import { type LatencyWatchConfig, latencyWatchSchema } from "./config/latency-watch.ts";
import { type LiveConfig, type LiveSourceSettings, liveSchema } from "./config/live.ts";
import { type LoadSheddingConfig, type LoadSheddingSettings, loadSheddingSchema } from "./config/load-shedding.ts";
import { type PlatformEventsConfig, type PlatformEventsSettings, platformEventsSchema } from "./config/platform-events.ts";
import { type PluginSettingsConfig, pluginSettingsSchema } from "./config/plugin-settings.ts";
import { pluginsSchema } from "./config/plugins.ts";
import { type RecoveryConfig, type RecoverySettings, recoverySchema } from "./config/recovery.ts";
import { type RetryBudgetConfig, retryBudgetSchema } from "./config/retry-budget.ts";
import { type SourceConfig, type SourceSettings, refuseConsumer, retryEntityOf, sourcesSchema } from "./config/sources.ts";
import { type SecretsConfig, type SecretsSettings, secretsSchema } from "./config/secrets.ts";
import { type StoreConfig, type StoreSettings, storeSchema } from "./config/store.ts";
import { type TracesConfig, type TracesSettings, tracesSchema } from "./config/traces.ts";
import { type StuckThreadsConfig, type StuckThreadsSettings, stuckThreadsSchema } from "./config/threads.ts";

export { type ServiceBusConfig, type ServiceBusSettings, type TransportKind, transportDefault } from "./config/broker.ts";
export type { DependencyConfig, SkillConfig } from "./config/dependencies.ts";
export type { SourceConfig, SourceSettings } from "./config/sources.ts";
export type { RedisStoreSettings, StoreConfig, StoreSettings } from "./config/store.ts";

/** What must be said, and what may be; `Config` is the same with the defaults filled in. */
export interface ConfigInput {
  /** What is read: one queue or subscription, or up to 100, which share all that the worker has. */
  readonly sources: readonly SourceConfig[];
  /** The broker: `connectionString`, or `fullyQualifiedNamespace`, where the workload's own identity logs in. */
  readonly serviceBus: ServiceBusConfig;
  /**
   * `amqp`: our own client, for a twentieth of the CPU a message. `sdk`: the official one, for networks that let only WebSockets
   * or an HTTP proxy out. Default `amqp`.
   */
  readonly transport?: TransportKind | undefined;
  /** Folders, relative to the configuration's own, packages, or what `definePlugin` made of a module that it names. */
  readonly plugins: readonly ListedPlugin[];
  /** Folders that plugins may lie in. Default: the configuration's own folder. */
  readonly pluginRoots?: readonly string[] | undefined;
  /** The folder of the contracts, which payloads of received, emitted and sent events are checked by; see `ContractsConfig`. Default: none. */
  readonly contracts?: ContractsConfig | undefined;
  /** Default: SQLite, in `runs.sqlite` in the folder that `HOLDFAST_DATA` names, or in `.holdfast` beside the configuration. */
  readonly store?: StoreConfig | undefined;
  /** Where emitted events are sent: one entity, and others by event type. Without it, a run that emits is dead-lettered as `PublishUnconfigured`. */
  readonly publish?: { readonly entity: string; readonly byEventType?: Readonly<Record<string, string>> | undefined } | undefined;
  /** Where failures, retries, circuit changes, dead letters and the like are sent as events, for others to act on. Default: nowhere. */
  readonly platformEvents?: PlatformEventsConfig | undefined;
  /** Jobs of the pool that outlive messages and workers: compensations without a message, replays in the background, sweeps. */
  readonly recovery?: RecoveryConfig | undefined;
  /** Who is notified of failures, and when; see `EscalationConfig`. Default: nobody. */
  readonly escalation?: EscalationConfig | undefined;
  /** Probes, metrics, an API and a live page over HTTP; see `AdminConfig`. Default: none. */
  readonly admin?: AdminConfig | undefined;
  /** Limits, bulkheads, pauses, budgets and the log level from a watched file or Azure App Configuration, changed while the worker runs. Default: none. */
  readonly live?: LiveConfig | undefined;
  /** How secrets that lie elsewhere, as in `password: { file: "/run/secrets/redis" }`, are looked after. */
  readonly secrets?: SecretsConfig | undefined;
  /** Which runs are told of as spans, where OpenTelemetry's environment variables say that traces are exported; see `TracesConfig`. */
  readonly traces?: TracesConfig | undefined;
  /** By dependency name. */
  readonly dependencies?: Readonly<Record<string, DependencyConfig>> | undefined;
  /** By skill name. */
  readonly skills?: Readonly<Record<string, SkillConfig>> | undefined;
  /** Values of the settings that plugins declare, by the name of the plugin. */
  readonly settings?: Readonly<Record<string, PluginSettingsConfig>> | undefined;
  /** Feature flags that skills ask for (`context.isOn`), and whether each is on until live settings say otherwise. */
  readonly flags?: Readonly<Record<string, boolean>> | undefined;
  /** Retries that the whole worker may make, of runs in place and of calls within runs. Default `{ ratio: 0.2, perSecondMin: 10, windowMs: 10 000 }`. */
  readonly retryBudget?: RetryBudgetConfig | undefined;
  /** Which messages a worker that is over its bounds gives back so that more important ones are run; see `LoadSheddingConfig`. Default: none. */
  readonly loadShedding?: LoadSheddingConfig | undefined;
  /** From when on a skill's runs take longer than usual, and what is done then. Default `{ factor: 2, differenceMinMs: 10, action: "hold-back" }`. */
  readonly latencyWatch?: LatencyWatchConfig | undefined;
  /** How envelopes of others are read, such as MassTransit's, NServiceBus's or your own; see `EnvelopeHook`. Default: none. */
  readonly envelopes?: readonly EnvelopeHook[] | undefined;
  /**
   * Whether CloudEvents, Event Grid events and hooks' forms may lack what our own envelopes hold (trace, correlation, project,
   * agent, version, time) and get stated defaults. Default true; false dead-letters them as `InvalidEnvelope`.
   */
  readonly envelopeDefaults?: boolean | undefined;
  /** Messages held at once, at the most: a worker holds no more than it can begin soon. 1 to 10 000, default 10 000. */
  readonly inFlightMax?: number | undefined;
  /** Within this time, and a third of its lock, a message should begin; what could not stays in the queue, for other workers. 1 to 1 600, default 500. */
  readonly beginWithinMs?: number | undefined;
  /** Bytes of bodies held at once; a larger message is held by itself. 64 KiB to 1 TiB, default a quarter of what an idle worker leaves of `memoryBytesMax`, of the container's limit, or of the machine's memory. A body counts twice: here and in its thread; results of steps and emitted events count until the message is settled. */
  readonly heldBytesMax?: number | undefined;
  /** Deliveries past this attempt are dead-lettered unseen; keep it below the entity's own maximum. 1 to 2 000, default 9. */
  readonly deliveriesMax?: number | undefined;
  /**
   * What becomes of an event that was given up when a message of it is sent again: `resume` goes on behind its last step, with
   * fresh attempts; `refuse` dead-letters the message, and leaves it to `holdfast dlq replay`. Default `resume`.
   */
  readonly resends?: "resume" | "refuse" | undefined;
  /** 1 to 100 MiB, default 256 KiB. */
  readonly bodyBytesMax?: number | undefined;
  /** 1 to 256; default one a core. */
  readonly threads?: number | undefined;
  /** What is done about threads that let nothing in any more; see `StuckThreadsConfig`. */
  readonly stuckThreads?: StuckThreadsConfig | undefined;
  /** How long run records are kept; it must exceed message time-to-live plus the horizon of replays. Default 7 days. */
  readonly retentionMs?: number | undefined;
  /**
   * How long after the store has lost records events from before may still come: so long, their steps without a record are
   * parked or looked for rather than executed. 0 to 365 days, default `retentionMs`; 0 executes them.
   */
  readonly suspectMs?: number | undefined;
  /** What the process may use before it takes no more messages; 64 MiB to 1 TiB. Default: the container's limit; none without one. */
  readonly memoryBytesMax?: number | undefined;
  /**
   * Heap of one skill thread; a run that takes more ends with its thread. Buffers are not in it. 32 MiB to 1 TiB, default an equal part for
   * each thread and the main one of what an idle worker and `heldBytesMax` leave of `memoryBytesMax`, the container's limit or the machine's
   * memory, from 48 MiB to 4 GiB.
   */
  readonly threadHeapBytesMax?: number | undefined;
  /** How long held messages are kept while the store is down; default 60 000. */
  readonly storeHoldMaxMs?: number | undefined;
  /** How long a receiver may get nothing before the queue is looked at; default 30 000. */
  readonly silenceMaxMs?: number | undefined;
  /**
   * From SIGTERM on, how long what is held may end. A worker that hangs past it is ended five seconds later; both must fit into
   * the platform's grace period, less its preStop. Default 20 000: with the usual 30 s, five more are left.
   */
  readonly stopBudgetMs?: number | undefined;
  /** How often a running worker looks whether the entities and the store are still as it needs them; 1 000 to 86 400 000, default 300 000. */
  readonly checkEveryMs?: number | undefined;
  /** Default `info`. */
  readonly logLevel?: "trace" | "debug" | "info" | "warn" | "error" | "silent" | undefined;
  /** `json` for machines, `pretty` for eyes. Default: `pretty` on a terminal, `json` elsewhere. */
  readonly logFormat?: "json" | "pretty" | undefined;
}

/** A checked configuration. What is found by a name from outside is a map: every plain object knows names such as `constructor`. */
export interface Config extends Omit<
  Required<ConfigInput>,
  | "sources"
  | "contracts"
  | "serviceBus"
  | "live"
  | "secrets"
  | "store"
  | "threads"
  | "suspectMs"
  | "memoryBytesMax"
  | "threadHeapBytesMax"
  | "heldBytesMax"
  | "publish"
  | "platformEvents"
  | "escalation"
  | "admin"
  | "loadShedding"
  | "dependencies"
  | "skills"
  | "settings"
  | "flags"
  | "logFormat"
> {
  readonly sources: readonly SourceSettings[];
  readonly transport: TransportKind;
  readonly pluginRoots: readonly string[];
  readonly contracts?: ContractsSettings | undefined;
  readonly serviceBus: ServiceBusSettings;
  readonly store: StoreSettings;
  readonly secrets: SecretsSettings;
  readonly live?: LiveSourceSettings | undefined;
  readonly publish?: { readonly entity: string; readonly byEventType: ReadonlyMap<string, string> } | undefined;
  readonly platformEvents?: PlatformEventsSettings | undefined;
  readonly escalation?: EscalationSettings | undefined;
  readonly admin?: AdminSettings | undefined;
  readonly traces: TracesSettings;
  readonly dependencies: ReadonlyMap<string, DependencyConfig>;
  readonly skills: ReadonlyMap<string, SkillConfig>;
  readonly settings: ReadonlyMap<string, PluginSettingsConfig>;
  readonly flags: ReadonlyMap<string, boolean>;
  readonly recovery: RecoverySettings;
  readonly retryBudget: RetryBudgetPolicy;
  readonly loadShedding: LoadSheddingSettings;
  readonly latencyWatch: LatencyWatchPolicy;
  readonly envelopes: readonly EnvelopeHook[];
  readonly envelopeDefaults: boolean;
  readonly inFlightMax: number;
  readonly beginWithinMs: number;
  readonly deliveriesMax: number;
  readonly resends: "resume" | "refuse";
  readonly bodyBytesMax: number;
  readonly threads?: number | undefined;
  readonly stuckThreads: StuckThreadsSettings;
  readonly retentionMs: number;
  readonly suspectMs?: number | undefined;
  readonly heldBytesMax?: number | undefined;
  readonly memoryBytesMax?: number | undefined;
  readonly threadHeapBytesMax?: number | undefined;
  readonly storeHoldMaxMs: number;
  readonly silenceMaxMs: number;
  readonly stopBudgetMs: number;
  readonly checkEveryMs: number;
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  readonly logFormat?: "json" | "pretty" | undefined;
}

const envelopeHook = z.strictObject({
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9._-]{0,63}$/, "expected 1 to 64 characters of A-Z a-z 0-9 . _ - beginning with a letter"),
  read: z.custom<EnvelopeHook["read"]>((value) => typeof value === "function", "expected a function from a message to its envelope's fields"),
});

/** What is about a failure must not come back to the worker that failed. */
function refuseOwnQueue({ sources, platformEvents, escalation }: Config, context: z.RefinementCtx): void {
  const read = new Set(sources.map((source) => retryEntityOf(source).toLowerCase()));
  const refuse = (entity: string, path: string[], what: string): void => {
    if (read.has(entity.toLowerCase())) context.addIssue({ code: "custom", path, message: `expected ${what} other than the queue that this worker reads` });
  };
  if (platformEvents !== undefined) refuse(platformEvents.entity, ["platformEvents", "entity"], "an entity");
  for (const [name, channel] of escalation?.channels ?? [])
    if (channel.kind === "queue") refuse(channel.queue, ["escalation", "channels", name, "queue"], "a queue");
}

export const configSchema: z.ZodType<Config, ConfigInput> = z
  .strictObject({
    sources: sourcesSchema,
    serviceBus: serviceBusSchema,
    transport: z.enum(["amqp", "sdk"]).default(transportDefault),
    store: storeSchema.default({ kind: "sqlite", path: ".holdfast/runs.sqlite" }),
    plugins: pluginsSchema,
    pluginRoots: z.array(z.string().min(1)).min(1).default(["."]),
    contracts: contractsSchema.optional(),
    publish: z.strictObject({ entity: entityName, byEventType: byName(entityName).default(new Map()) }).optional(),
    platformEvents: platformEventsSchema.optional(),
    recovery: recoverySchema.prefault({}),
    escalation: escalationSchema.optional(),
    admin: adminSchema.optional(),
    secrets: secretsSchema.prefault({}),
    live: liveSchema.optional(),
    traces: tracesSchema.prefault({}),
    dependencies: byName(dependencySchema).default(new Map()),
    skills: byName(skillSchema).default(new Map()),
    settings: pluginSettingsSchema.default(new Map()),
    flags: byName(z.boolean()).default(new Map()),
    retryBudget: retryBudgetSchema.default(defaultRetryBudgetPolicy),
    loadShedding: loadSheddingSchema.prefault({ enabled: false }),
    latencyWatch: latencyWatchSchema.prefault({}),
    envelopes: z.array(envelopeHook).default([]),
    envelopeDefaults: z.boolean().default(true),
    inFlightMax: integer(1, 10_000).default(10_000),
    beginWithinMs: integer(1, 1_600).default(500),
    heldBytesMax: integer(64 * 1024, 1024 ** 4).optional(),
    deliveriesMax: integer(1, 2_000).default(9),
    resends: z.enum(["resume", "refuse"]).default("resume"),
    bodyBytesMax: integer(1, 100 * 1024 * 1024).default(256 * 1024),
    threads: integer(1, 256).optional(),
    stuckThreads: stuckThreadsSchema.prefault({}),
    retentionMs: integer(60_000, 365 * dayMs).default(7 * dayMs),
    suspectMs: integer(0, 365 * dayMs).optional(),
    memoryBytesMax: integer(64 * 1024 * 1024, 1024 ** 4).optional(),
    threadHeapBytesMax: integer(32 * 1024 * 1024, 1024 ** 4).optional(),
    storeHoldMaxMs: integer(0, hourMs).default(60_000),
    silenceMaxMs: integer(1_000, hourMs).default(30_000),
    stopBudgetMs: integer(100, hourMs).default(20_000),
    checkEveryMs: integer(1_000, dayMs).default(300_000),
    logLevel: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
    logFormat: z.enum(["json", "pretty"]).optional(),
  })
  .superRefine((config, context) => {
    if (config.serviceBus.webSockets === true && config.transport !== "sdk") {
      context.addIssue({
        code: "custom",
        path: ["serviceBus", "webSockets"],
        message: `expected transport 'sdk' beside it, for '${config.transport}' does not speak them`,
      });
    }
    refuseOwnQueue(config, context);
    if (config.inFlightMax >= 1 && config.inFlightMax < config.sources.length) {
      const message = `expected at least ${config.sources.length}, one for each source`;
      context.addIssue({ code: "custom", path: ["inFlightMax"], message });
    }
    config.envelopes.forEach(({ name }, index) => {
      if (config.envelopes.findIndex((other) => other.name === name) < index) {
        context.addIssue({ code: "custom", path: ["envelopes", index, "name"], message: "expected each envelope hook to have a name of its own" });
      }
    });
    for (const [name, dependency] of config.dependencies) {
      const { connectMs = 0, totalMs = Number.POSITIVE_INFINITY } = dependency.timeouts ?? {};
      if (connectMs > totalMs) {
        context.addIssue({
          code: "custom",
          path: ["dependencies", name, "timeouts"],
          message: `expected connectMs at most totalMs (${totalMs}), got ${connectMs}`,
        });
      }
    }
  });

/** Checks a configuration; throws `ConfigurationError` naming each key, what was expected and what was found. `where`: what is said of a key besides. */
export function parseConfig(input: unknown, source: string, where: (place: string) => string = () => ""): Config {
  const renamed = refuseConsumer(input);
  if (renamed !== undefined) throw new ConfigurationError(`${source}: ${renamed}`);
  const result = configSchema.safeParse(input, { error: knownKeys });
  if (result.success) return result.data;
  const lines = result.error.issues.flatMap((issue) => describeIssue(issue, input));
  throw new ConfigurationError(`${source}: ${lines.map((line) => `${line}${where(line.slice(0, Math.max(0, line.indexOf(":"))))}`).join("; ")}`);
}
