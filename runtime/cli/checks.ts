/**
 * What a worker needs of its surroundings: the entities it reads and sends to, the store, the clocks. `doctor` shows these
 * findings, `start` refuses to begin when one has failed, and a worker that runs looks again from time to time. Each says what
 * was expected, what was found and what to do about it.
 */
import { entitiesOf, readBrokerFacts } from "../compose/broker.ts";
import { checkChannels } from "../compose/escalation.ts";
import { NoIdentityError } from "../compose/identity.ts";
import { type RedisFacts, readStoreFacts } from "../compose/store.ts";
import type { Config } from "../core/config.ts";
import type { SourceSettings } from "../core/config/sources.ts";
import { TransportError, messageOf } from "../core/errors.ts";
import type { EntitySettings } from "../ports/broker-facts.ts";
import { fewAtOnce } from "./few-at-once.ts";
import { type Finding, foundIn, judged, notChecked, withDeadline } from "./finding.ts";
import { checkSending } from "./sending-checks.ts";

const lockMinMs = 2_000;
/** Beyond this it is worth saying that clocks differ. */
const skewMaxMs = 2_000;

/** Never rejects. */
export async function checkSurroundings(config: Config, directory: string): Promise<readonly Finding[]> {
  const read = config.sources.flatMap((source, number) =>
    entitiesOf(source).map((entity, index): ReadEntity => ({ source, number, entity, isRetryQueue: index > 0 })),
  );
  const all = await Promise.all([
    fewAtOnce(read, (one) => checkEntity(config, one)).then((findings) => findings.flat()),
    checkSending(config),
    checkStore(config, directory),
    checkEscalation(config, directory),
  ]);
  return [...all.flat(), recoveryFinding(config)];
}

/** One of the entities that are read. */
interface ReadEntity {
  readonly source: SourceSettings;
  /** The source's place in the configuration. */
  readonly number: number;
  readonly entity: ReturnType<typeof entitiesOf>[number];
  readonly isRetryQueue: boolean;
}

/** The checks of an only source have the plain names. */
function suffixOf({ sources }: Config, { source, entity, isRetryQueue }: ReadEntity): string {
  if (isRetryQueue && "queue" in entity) return ` of ${entity.queue}`;
  return sources.length > 1 ? ` of ${source.name}` : "";
}

async function checkEntity(config: Config, read: ReadEntity): Promise<Finding[]> {
  const { entity, source, number, isRetryQueue } = read;
  const suffix = suffixOf(config, read);
  try {
    const settings = await withDeadline(readBrokerFacts(config, entity));
    const findings = [...judgeEntity(config, source, settings), judgeSessions(source.sessions !== undefined && !isRetryQueue, settings)].map((finding) => ({
      ...finding,
      ...(finding.check === "status" && finding.verdict === "failed" ? { awaits: source.name } : {}),
      check: `${finding.check}${suffix}`,
    }));
    return isRetryQueue || number > 0 ? findings : [...findings, clockFinding("broker clock", settings.brokerTimeMs)];
  } catch (error) {
    if (error instanceof TransportError && error.entityTrouble === "missing") return missing(read).map((finding) => ({ ...finding, awaits: source.name }));
    const [why, remedy] = whyUnread(error);
    return [notChecked(`entity settings${suffix}`, "the administration API to answer", why, remedy)];
  }
}

/** Why an entity's settings could not be read, and what to do. */
function whyUnread(error: unknown): readonly [why: string, remedy: string] {
  if (error instanceof NoIdentityError) return [`there is ${error.message}`, "log in, or name a connection string whose key has the Manage right"];
  const isForbidden = error instanceof TransportError && error.entityTrouble === "forbidden";
  return [
    isForbidden ? "the identity lacks the Manage right" : foundIn(error),
    "when nothing else is wrong with the broker, give the identity the Manage right to have this checked, or compare the entity's settings by hand",
  ];
}

/** A queue that is read is sent to as well: whether it can be sent to tells what needs it. */
function missing({ entity, number }: ReadEntity): Finding[] {
  if ("queue" in entity) return [];
  const { topic, subscription } = entity;
  const keys = `sources.${number}.topic and sources.${number}.subscription`;
  const expected = `a subscription '${subscription}' of a topic '${topic}' (${keys}: it is read)`;
  return [judged(`read from ${topic}/${subscription}`, false, expected, "none of that name", `create it, or name another in ${keys}`)];
}

function judgeEntity({ retentionMs, ...config }: Config, source: SourceSettings, entity: EntitySettings): Finding[] {
  const deliveriesMax = source.deliveriesMax ?? config.deliveriesMax;
  const lock = `${entity.lockDurationMs} ms`;
  const neverExpires = entity.timeToLiveMs === Number.POSITIVE_INFINITY;
  const timeToLive = neverExpires ? "messages never expire" : `${entity.timeToLiveMs} ms`;
  const onExpiry = entity.deadLettersOnExpiry ? "they are" : `they are dropped after ${timeToLive}`;
  const isOpen = entity.status === "Active" || entity.status === "SendDisabled";
  return [
    judged("status", isOpen, "an entity that is open for receiving", entity.status, "enable the entity for receiving"),
    judged(
      "forwarding",
      entity.forwardTo === undefined,
      "an entity that keeps its messages",
      entity.forwardTo === undefined ? "it does" : `they move on to ${entity.forwardTo}`,
      "read the entity that they are forwarded to, or take the forwarding off",
    ),
    judged("lock duration", entity.lockDurationMs >= lockMinMs, `at least ${lockMinMs} ms`, lock, "raise the entity's lock duration; 1 minute is a good value"),
    judged(
      "delivery count",
      entity.deliveriesMax > deliveriesMax,
      `more than deliveriesMax (${deliveriesMax})`,
      String(entity.deliveriesMax),
      "raise the entity's maximum delivery count, or lower deliveriesMax, so that the worker gives a reason before the broker gives up",
    ),
    judged(
      "expiry",
      entity.deadLettersOnExpiry || neverExpires,
      "expired messages to be dead-lettered",
      neverExpires ? timeToLive : onExpiry,
      "turn on dead-lettering on message expiration for the entity",
    ),
    judged(
      "retention",
      neverExpires || retentionMs > entity.timeToLiveMs,
      `retentionMs above the time-to-live (${timeToLive})`,
      `${retentionMs} ms`,
      "raise retentionMs, or shorten the entity's time-to-live: a message that outlives its run record can run twice",
    ),
  ];
}

function judgeSessions(areConfigured: boolean, { requiresSession }: EntitySettings): Finding {
  const expected = areConfigured ? "an entity that requires sessions, as 'sessions' is configured" : "an entity without sessions";
  const remedy = areConfigured ? "take the key 'sessions' away, or create it again with sessions required" : "add sessions: {} to its source, or read another";
  return judged("sessions", areConfigured === requiresSession, expected, requiresSession ? "it requires sessions" : "it has none", remedy);
}

/** One that refuses the worker would never tell anybody anything; one that is away may be back when it is needed. */
async function checkEscalation(config: Config, directory: string): Promise<readonly Finding[]> {
  const expected = "it to take the worker's log-in";
  try {
    const found = await checkChannels(config, directory);
    return found.map(([name, answer]) => {
      const check = `channel ${name}`;
      if (answer.kind === "ok") return judged(check, true, expected, "it can be used", "");
      if (answer.kind === "refused") return judged(check, false, expected, answer.why, "correct the channel's user, password or security");
      return notChecked(check, expected, answer.why, "see whether its server is up and can be reached from here, or correct its host and port");
    });
  } catch (error) {
    return [judged("channels", false, "channels that can be used", messageOf(error), "correct the configuration")];
  }
}

async function checkStore(config: Config, directory: string): Promise<readonly Finding[]> {
  try {
    const facts = await withDeadline(readStoreFacts(config, directory));
    return facts === undefined ? [] : judgeStore(facts);
  } catch (error) {
    return [
      notChecked(
        "store settings",
        "the store to answer",
        foundIn(error),
        "when nothing else is wrong with the store, let the user run TIME and INFO, or compare maxmemory-policy with noeviction by hand",
      ),
    ];
  }
}

/** What becomes of jobs that outlive messages and workers. */
function recoveryFinding({ recovery, store }: Config): Finding {
  const check = "recovery queue";
  const expected = "jobs that outlive messages and workers to be kept for the whole pool";
  if (!recovery.enabled || (store.kind === "sqlite" && store.path === ":memory:")) {
    const found = recovery.enabled ? "none, for the store is in memory" : "it is switched off";
    return {
      check,
      verdict: "ok",
      expected,
      found,
      remedy: "what a message does not live to see compensated is left undone; accept that, or give it a store and recovery.enabled",
    };
  }
  if (store.kind === "redis") return { check, verdict: "ok", expected, found: "they are, in Redis", remedy: "" };
  return {
    check,
    verdict: "ok",
    expected,
    found: "they are in the store's file",
    remedy: "workers of other machines neither see nor do them: a pool over several machines needs Redis",
  };
}

const untold = "the store does not tell (INFO is refused or leaves it out)";

/** Of a cluster, each finding is about the shard where it is worst. */
function judgeStore(facts: readonly RedisFacts[]): readonly Finding[] {
  return [evictionFinding(facts), persistenceFinding(facts), replicationFinding(facts), clockFinding("store clock", facts[0]?.timeMs)];
}

function evictionFinding(facts: readonly RedisFacts[]): Finding {
  const expected = "maxmemory-policy noeviction";
  const policies = facts.map(({ evictionPolicy }) => evictionPolicy);
  const evicting = policies.find((policy) => policy !== undefined && policy !== "noeviction");
  if (evicting === undefined && policies.includes(undefined))
    return notChecked("store eviction", expected, untold, "compare it by hand: an evicted record lets an event run twice");
  return judged(
    "store eviction",
    evicting === undefined,
    expected,
    evicting ?? "noeviction",
    "set maxmemory-policy to noeviction: an evicted record lets an event run twice",
  );
}

/** Costs, not faults: which of them are acceptable is for whoever runs the store to say. */
function persistenceFinding(facts: readonly RedisFacts[]): Finding {
  const check = "store persistence";
  const expected = "an append-only file on every server";
  const losses = "a server that restarts may lose finished runs, whose events run again where they are delivered again";
  if (facts.some(({ isAppending }) => isAppending === false))
    return { check, verdict: "ok", expected, found: "a server without one", remedy: `${losses}; turn appendonly on, or accept that` };
  if (facts.some(({ isAppending }) => isAppending === undefined))
    return notChecked(check, expected, untold, `look it up with the service: without persistence, ${losses}`);
  return { check, verdict: "ok", expected, found: "it is on; with appendfsync everysec a crash of the machine costs the last second", remedy: "" };
}

function replicationFinding(facts: readonly RedisFacts[]): Finding {
  const check = "store replication";
  const expected = "a replica of every server";
  const fewest = Math.min(...facts.map(({ replicas }) => replicas ?? Number.NaN));
  const cost = "a failover loses the writes that the replica had not got yet, and their events may run again";
  if (Number.isNaN(fewest))
    return notChecked(
      check,
      expected,
      untold,
      `look it up with the service: without a replica the worker stands still while a server is away; with one, ${cost}`,
    );
  if (fewest === 0)
    return {
      check,
      verdict: "ok",
      expected,
      found: "a server without one",
      remedy: "while it is away the events it holds wait, and what is lost with its disk is lost; add a replica, or accept that",
    };
  return { check, verdict: "ok", expected, found: `${fewest} or more; ${cost}`, remedy: "" };
}

/** No reason to refuse: locks are computed by the broker's clock, and leases are kept by the store's. It is reported, because logs are compared by time. */
function clockFinding(check: string, theirsMs: number | undefined): Finding {
  const expected = "a clock that can be read";
  if (theirsMs === undefined) return notChecked(check, expected, "it could not be read", "compare the clocks by hand");
  const aheadMs = Math.round(theirsMs - Date.now());
  const isNear = Math.abs(aheadMs) <= skewMaxMs;
  // The broker tells its time in whole seconds.
  const found = isNear ? `within ${skewMaxMs} ms of this machine's` : `${Math.abs(aheadMs)} ms ${aheadMs > 0 ? "ahead of" : "behind"} this machine's`;
  return {
    check,
    verdict: "ok",
    expected,
    found,
    remedy: isNear ? "" : "the worker computes with it; synchronise the clocks (NTP) so that logs agree",
  };
}
