/**
 * The configuration: one schema, checked at start. Unknown keys, wrong units and impossible combinations are refused with the
 * key, what was expected and what was found.
 */
import { z } from "zod";
import type { EnvelopeHook } from "./envelope-hook.ts";
import { ConfigurationError } from "./errors.ts";
import type { BulkheadPolicy, CircuitPolicy, RetryPolicy } from "./skill.ts";

/** What is read: a queue, or a subscription with a private queue for the copies of messages to retry. */
export type ConsumerConfig =
  | { readonly queue: string }
  | {
      readonly topic: string;
      readonly subscription: string;
      /** Copies of messages to retry go here, read by the worker too; sent to the topic they would reach every subscriber. It must exist. */
      readonly retryQueue: string;
    };

/** How the broker is reached: a connection string, or a host name and the workload's own identity. */
export type ServiceBusConfig = ({ readonly connectionString: string } | { readonly fullyQualifiedNamespace: string }) & {
  /**
   * Only with the transport `sdk`: over WebSockets on port 443, and through the proxy that `HTTPS_PROXY` names when Node is
   * started with `NODE_USE_ENV_PROXY=1`. Default false: AMQP over TLS on port 5671.
   */
  readonly webSockets?: boolean | undefined;
};

/** Which client speaks to the broker. */
export type TransportKind = "amqp" | "sdk";
export const transportDefault: TransportKind = "amqp";

export type StoreConfig =
  | {
      readonly kind: "sqlite";
      /** A file, relative to the configuration's folder, or `:memory:`. */
      readonly path: string;
    }
  | {
      readonly kind: "redis";
      /** `redis://…` or `rediss://…`. */
      readonly url: string;
      /** 1 to 64 characters of `A-Z a-z 0-9 : _ -`; default `holdfast`. */
      readonly prefix?: string | undefined;
      /** 50 to 60 000, default 2 000. */
      readonly commandTimeoutMs?: number | undefined;
    };

type Loose<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** Replaces what the plugin says of a dependency; see `defineDependency` for units, ranges and defaults. */
export interface DependencyConfig {
  readonly baseUrl?: string | undefined;
  readonly bulkhead?: Loose<BulkheadPolicy> | undefined;
  readonly circuit?: Loose<CircuitPolicy> | undefined;
  readonly timeouts?: Loose<{ connectMs: number; headersMs: number; bodyMs: number; totalMs: number }> | undefined;
  readonly retry?: Loose<{ attemptsMax: number; baseDelayMs: number; delayMaxMs: number }> | undefined;
}

/** Replaces what the plugin says of a skill; see `defineSkill`. */
export interface SkillConfig {
  readonly timeoutMs?: number | undefined;
  readonly retry?: Loose<RetryPolicy> | undefined;
}

/** What must be said, and what may be; `Config` is the same with the defaults filled in. */
export interface ConfigInput {
  readonly consumer: ConsumerConfig;
  readonly serviceBus: ServiceBusConfig;
  /**
   * `amqp`: our own client, for a twentieth of the CPU a message. `sdk`: the official one, for networks that let only WebSockets
   * or an HTTP proxy out. Default `amqp`.
   */
  readonly transport?: TransportKind | undefined;
  /** Folders or packages, relative to the configuration's folder. */
  readonly plugins: readonly string[];
  /** Folders that plugins may lie in. Default: the configuration's own folder. */
  readonly pluginRoots?: readonly string[] | undefined;
  /** Default: SQLite, in `runs.sqlite` in the folder that `HOLDFAST_DATA` names, or in `.holdfast` beside the configuration. */
  readonly store?: StoreConfig | undefined;
  /** Where emitted events are sent: one entity, and others by event type. Without it, a run that emits is dead-lettered as `PublishUnconfigured`. */
  readonly publish?: { readonly entity: string; readonly byEventType?: Readonly<Record<string, string>> | undefined } | undefined;
  /** By dependency name. */
  readonly dependencies?: Readonly<Record<string, DependencyConfig>> | undefined;
  /** By skill name. */
  readonly skills?: Readonly<Record<string, SkillConfig>> | undefined;
  /** How envelopes of others are read, such as MassTransit's, NServiceBus's or your own; see `EnvelopeHook`. Default: none. */
  readonly envelopes?: readonly EnvelopeHook[] | undefined;
  /**
   * Whether CloudEvents, Event Grid events and hooks' forms may lack what our own envelopes hold (trace, correlation, project,
   * agent, version, time) and get stated defaults. Default true; false dead-letters them as `InvalidEnvelope`.
   */
  readonly envelopeDefaults?: boolean | undefined;
  /** Messages held at once; 1 to 10 000, default 1 000. */
  readonly inFlightMax?: number | undefined;
  /** Deliveries past this attempt are dead-lettered unseen; keep it below the entity's own maximum. 1 to 2 000, default 9. */
  readonly deliveriesMax?: number | undefined;
  /** 1 to 100 MiB, default 256 KiB. */
  readonly bodyBytesMax?: number | undefined;
  /** 1 to 256; default one a core. */
  readonly threads?: number | undefined;
  /** How long run records are kept; it must exceed message time-to-live plus the horizon of replays. Default 7 days. */
  readonly retentionMs?: number | undefined;
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
export interface Config extends Omit<Required<ConfigInput>, "threads" | "publish" | "dependencies" | "skills" | "logFormat"> {
  readonly transport: TransportKind;
  readonly pluginRoots: readonly string[];
  readonly store: StoreConfig;
  readonly publish?: { readonly entity: string; readonly byEventType: ReadonlyMap<string, string> } | undefined;
  readonly dependencies: ReadonlyMap<string, DependencyConfig>;
  readonly skills: ReadonlyMap<string, SkillConfig>;
  readonly envelopes: readonly EnvelopeHook[];
  readonly envelopeDefaults: boolean;
  readonly inFlightMax: number;
  readonly deliveriesMax: number;
  readonly bodyBytesMax: number;
  readonly threads?: number | undefined;
  readonly retentionMs: number;
  readonly storeHoldMaxMs: number;
  readonly silenceMaxMs: number;
  readonly stopBudgetMs: number;
  readonly checkEveryMs: number;
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  readonly logFormat?: "json" | "pretty" | undefined;
}

const entityName = z.string().regex(/^[A-Za-z0-9]$|^[A-Za-z0-9][\w\-./]*[A-Za-z0-9]$/, "expected the name of a queue, topic or subscription");
const integer = (min: number, max: number): z.ZodInt => z.int().min(min).max(max);
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** An object with any names as its keys, as a map. */
function byName<Output, Input>(value: z.ZodType<Output, Input>): z.ZodType<ReadonlyMap<string, Output>, Readonly<Record<string, Input>>> {
  const entries = z.transform((input: Readonly<Record<string, Input>>, context): Map<string, Input> => {
    if (typeof input === "object" && input !== null && !Array.isArray(input)) return new Map(Object.entries(input));
    context.issues.push({ code: "custom", message: "expected an object", input });
    return z.NEVER;
  });
  return z.pipe(entries, z.map(z.string(), value));
}

const consumer = z.union([
  z.strictObject({ queue: entityName }),
  z.strictObject({
    topic: entityName,
    subscription: entityName,
    retryQueue: entityName,
  }),
]);

const serviceBus = z.union([
  z.strictObject({ connectionString: z.string().min(1), webSockets: z.boolean().optional() }),
  z.strictObject({
    fullyQualifiedNamespace: z.string().regex(/^[A-Za-z0-9.-]+$/, "expected a host name such as NAME.servicebus.windows.net"),
    webSockets: z.boolean().optional(),
  }),
]);

const store = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("sqlite"), path: z.string().min(1) }),
  z.strictObject({
    kind: z.literal("redis"),
    url: z.string().regex(/^rediss?:\/\//, "expected redis://… or rediss://…"),
    prefix: z
      .string()
      .regex(/^[A-Za-z0-9:_-]{1,64}$/, "expected 1 to 64 characters of A-Z a-z 0-9 : _ -")
      .optional(),
    commandTimeoutMs: integer(50, 60_000).optional(),
  }),
]);

const bulkhead = z.strictObject({ concurrentMax: integer(1, 10_000), queueMax: integer(0, 10_000), waitMaxMs: integer(1, 150_000) }).partial();
const circuit = z.strictObject({ failureThreshold: integer(1, 1_000), resetTimeoutMs: integer(1, hourMs), halfOpenMax: integer(1, 100) }).partial();
const timeouts = z
  .strictObject({ connectMs: integer(1, 600_000), headersMs: integer(1, 600_000), bodyMs: integer(1, 600_000), totalMs: integer(1, 600_000) })
  .partial();
const callRetry = z.strictObject({ attemptsMax: integer(1, 10), baseDelayMs: integer(1, 60_000), delayMaxMs: integer(1, 60_000) }).partial();
const skillRetry = z
  .strictObject({
    attemptsMax: integer(1, 20),
    immediateMax: integer(0, 5),
    immediateDelayMs: integer(0, dayMs),
    baseDelayMs: integer(0, dayMs),
    delayFactor: z.number().min(1).max(100),
    delayMaxMs: integer(0, dayMs),
    lossesMax: integer(2, 100),
  })
  .partial();

const envelopeHook = z.strictObject({
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9._-]{0,63}$/, "expected 1 to 64 characters of A-Z a-z 0-9 . _ - beginning with a letter"),
  read: z.custom<EnvelopeHook["read"]>((value) => typeof value === "function", "expected a function from a message to its envelope's fields"),
});

const schema: z.ZodType<Config, ConfigInput> = z
  .strictObject({
    consumer,
    serviceBus,
    transport: z.enum(["amqp", "sdk"]).default(transportDefault),
    store: store.default({ kind: "sqlite", path: ".holdfast/runs.sqlite" }),
    plugins: z.array(z.string().min(1)).min(1),
    pluginRoots: z.array(z.string().min(1)).min(1).default(["."]),
    publish: z.strictObject({ entity: entityName, byEventType: byName(entityName).default(new Map()) }).optional(),
    dependencies: byName(z.strictObject({ baseUrl: z.string(), bulkhead, circuit, timeouts, retry: callRetry }).partial()).default(new Map()),
    skills: byName(z.strictObject({ timeoutMs: integer(1, hourMs), retry: skillRetry }).partial()).default(new Map()),
    envelopes: z.array(envelopeHook).default([]),
    envelopeDefaults: z.boolean().default(true),
    inFlightMax: integer(1, 10_000).default(1_000),
    deliveriesMax: integer(1, 2_000).default(9),
    bodyBytesMax: integer(1, 100 * 1024 * 1024).default(256 * 1024),
    threads: integer(1, 256).optional(),
    retentionMs: integer(60_000, 365 * dayMs).default(7 * dayMs),
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

/** Gives a configuration file its types. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}

const secretKey = /connectionString|password|secret|token|key|url/i;

/** Checks a configuration; throws `ConfigurationError` naming each key, what was expected and what was found. */
export function parseConfig(input: unknown, source: string): Config {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const lines = result.error.issues.flatMap((issue) => describeIssue(issue, input));
  throw new ConfigurationError(`${source}: ${lines.join("; ")}`);
}

function describeIssue(issue: z.core.$ZodIssue, input: unknown): string[] {
  const place = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const chosen = choose(place, valueAt(input, issue.path));
    if (typeof chosen === "string") return [chosen];
    return issue.keys.map((key) => `${place === "" ? key : `${place}.${key}`}: unknown key; check its spelling or remove it`);
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const chosen = choose(place, valueAt(input, issue.path));
    if (typeof chosen === "string") return [chosen];
    const nearest = issue.errors[chosen ?? -1] ?? issue.errors.toSorted((a, b) => a.length - b.length)[0] ?? [];
    const inner = nearest.flatMap((nested) => describeIssue({ ...nested, path: [...issue.path, ...nested.path] }, input));
    if (inner.length > 0) return inner;
  }
  const unit = place.endsWith("Ms") ? " (milliseconds, as a whole number)" : "";
  return [`${place || "configuration"}: ${expectation(issue.message)}${unit}, got ${shown(place, valueAt(input, issue.path))}`];
}

/** What can be said in two ways, of which one is chosen: the keys of each, in the order of the schema. */
const choices: ReadonlyMap<string, readonly (readonly string[])[]> = new Map([
  ["consumer", [["queue"], ["topic", "subscription", "retryQueue"]]],
  ["serviceBus", [["connectionString"], ["fullyQualifiedNamespace"]]],
]);

/** Which way was meant, by the keys that are there; a text when it is none or more than one. */
function choose(place: string, value: unknown): number | string | undefined {
  const ways = choices.get(place);
  if (ways === undefined || typeof value !== "object" || value === null) return undefined;
  const given = Object.keys(value);
  const meant = ways.flatMap((keys, index) => (keys.some((key) => given.includes(key)) ? [index] : []));
  if (meant.length === 1) return meant[0];
  const expected = ways.map((keys) => keys.join(" + ")).join(", or ");
  return `${place}: expected either ${expected}, got ${given.join(" + ") || "nothing"}; ${meant.length === 0 ? "give one of the two" : "keep one of the two"}`;
}

function expectation(message: string): string {
  return message
    .replace(/^Invalid (input|option): /, "")
    .replace(/, received .*$/, "")
    .replace(/^Too (small|big): /, "")
    .replace(/^Invalid discriminator value\. Expected (.*)$/, (_message, kinds: string) => `expected ${kinds.replaceAll(" | ", " or ")}`);
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const key of path) value = typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined;
  return value;
}

function shown(place: string, value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string" && secretKey.test(place)) return `text of ${value.length} characters`;
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
