/** Escalation: the channels of the configuration, and what delivers to them. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createChatChannel } from "../adapters/escalation/chat.ts";
import { createMailChannel } from "../adapters/escalation/mail.ts";
import { createWebhookChannel } from "../adapters/escalation/webhook.ts";
import type { RedisPlace } from "../adapters/redis/connect.ts";
import { createRedisCounts } from "../adapters/redis/counts.ts";
import { systemClock } from "../adapters/system/clock.ts";
import type { Config } from "../core/config.ts";
import type { EscalationChannelSettings } from "../core/config/escalation.ts";
import { consumerName, firstSource } from "../core/config/sources.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import { EscalationPolicy } from "../policy/escalation.ts";
import type { SharedCounts } from "../ports/shared-counts.ts";
import type { RecoveryQueue } from "../ports/recovery-queue.ts";
import type { ChannelCheck, EscalationChannel } from "../ports/escalation-channel.ts";
import { Escalations, type EscalationsOptions } from "../recovery/escalations.ts";
import { redisPlace } from "./store.ts";

const mailPorts = { tls: 465, starttls: 587, none: 587 } as const;

function channelOf(name: string, settings: EscalationChannelSettings, directory: string): EscalationChannel | { readonly queue: string } {
  switch (settings.kind) {
    case "webhook":
      return createWebhookChannel({ ...settings, clock: systemClock });
    case "chat":
      return createChatChannel(settings);
    case "mail": {
      const { caFile, security = "tls", port = mailPorts[security], ...mail } = settings;
      return createMailChannel({ ...mail, security, port, ...(caFile === undefined ? {} : { ca: readAuthority(name, resolve(directory, caFile)) }) });
    }
    case "queue":
      return settings;
  }
}

function readAuthority(name: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigurationError(`escalation.channels.${name}.caFile: expected a PEM file, found ${messageOf(error)}; correct the path`, { cause: error });
  }
}

function composeChannels({ escalation }: Config, directory: string): ReadonlyMap<string, EscalationChannel | { readonly queue: string }> {
  return new Map(Array.from(escalation?.channels ?? [], ([name, settings]) => [name, channelOf(name, settings, directory)]));
}

/** Undefined where the configuration names no rules. */
export function composeEscalations(
  config: Config,
  directory: string,
  {
    queue,
    heard,
    ...parts
  }: Pick<EscalationsOptions, "publisher" | "telemetry" | "workerId"> & {
    readonly queue: RecoveryQueue | undefined;
    readonly heard: RedisPlace["heard"];
  },
): Escalations | undefined {
  const { escalation } = config;
  if (escalation === undefined) return undefined;
  if (queue === undefined)
    throw new ConfigurationError(
      "escalation: expected the recovery queue, which delivers them, to be there, found it switched off or in memory; set recovery.enabled, and a store that outlives the process",
    );
  const { rules, perHourMax, criticalProjects } = escalation;
  return new Escalations({
    ...parts,
    queue,
    counts: composeCounts(config, directory, heard),
    clock: systemClock,
    policy: new EscalationPolicy({ rules, perHourMax, criticalProjects: new Set(criticalProjects) }),
    channels: composeChannels(config, directory),
    consumer: consumerName(firstSource(config)),
    timestamp: () => new Date().toISOString(),
  });
}

/** What all workers count together; undefined without Redis, where each counts alone. */
function composeCounts(config: Config, directory: string, heard: RedisPlace["heard"]): SharedCounts | undefined {
  const { store } = config;
  if (store.kind !== "redis") return undefined;
  const { prefix, commandTimeoutMs } = store;
  return createRedisCounts({
    ...redisPlace(store, directory),
    heard,
    purpose: "counting escalations",
    consumer: consumerName(firstSource(config)),
    ...(prefix === undefined ? {} : { prefix }),
    ...(commandTimeoutMs === undefined ? {} : { commandTimeoutMs }),
  });
}

/** Checks each channel without sending anything; queues are checked with the other entities. */
export async function checkChannels(config: Config, directory: string): Promise<readonly (readonly [name: string, check: ChannelCheck])[]> {
  const checks = Array.from(composeChannels(config, directory), async ([name, channel]) =>
    "queue" in channel ? [] : [[name, await channel.check()] as const],
  );
  return (await Promise.all(checks)).flat();
}
