/**
 * `holdfast doctor`: checks what a worker needs before it is let loose. Each finding says what was expected, what was found
 * and what to do about it.
 */
import Table from "cli-table3";
import { composeRunStore, composeTransport, checkPlugins as loadAndCheck, checkSendingTo, entitiesSentTo, readBrokerFacts, readStoreFacts } from "../compose.ts";
import type { Config } from "../core/config.ts";
import { messageOf } from "../core/errors.ts";
import { loadConfig } from "./load-config.ts";

/** `unknown`: it could not be looked at, which is no proof of trouble. */
type Verdict = "ok" | "failed" | "unknown";

interface Finding {
  readonly check: string;
  readonly verdict: Verdict;
  readonly expected: string;
  readonly found: string;
  /** Empty when all is well. */
  readonly remedy: string;
}

const lockMinMs = 2_000;
/** Leases and locks are kept by different clocks; beyond this their order is in doubt. */
const skewMaxMs = 2_000;
const answerTimeoutMs = 15_000;

/** Prints all findings; false when one failed. */
export async function doctor(options: { readonly config?: string; readonly json?: boolean }): Promise<boolean> {
  const { config, directory, file } = await loadConfig(options.config);
  const findings: Finding[] = [
    { check: "configuration", verdict: "ok", expected: "a configuration without mistakes", found: file, remedy: "" },
    await checkPlugins(config, directory),
    await checkReachable(config),
    ...(await checkEntity(config)),
    ...(await checkSending(config)),
    ...(await checkStore(config, directory)),
  ];
  print(findings, options.json === true);
  return findings.every(({ verdict }) => verdict !== "failed");
}

function judged(check: string, good: boolean, expected: string, found: string, remedy: string): Finding {
  return { check, verdict: good ? "ok" : "failed", expected, found, remedy: good ? "" : remedy };
}

async function checkPlugins(config: Config, directory: string): Promise<Finding> {
  const expected = "every listed plugin to load";
  try {
    const skills = await loadAndCheck(config, directory);
    return judged("plugins", true, expected, skills.map(({ name }) => name).join(", "), "");
  } catch (error) {
    return judged("plugins", false, expected, messageOf(error), "mend the plugin, or take it off the list; `holdfast skills` shows what is registered");
  }
}

async function checkReachable(config: Config): Promise<Finding> {
  const entities = "queue" in config.consumer ? "the entity" : "the subscription and the retry queue";
  const expected = `the broker to answer and ${entities} to exist`;
  const transport = await composeTransport(config);
  try {
    await withDeadline(transport.start());
    return judged("broker", true, expected, "it does", "");
  } catch (error) {
    return judged("broker", false, expected, messageOf(error), "check the address, the key's rights (Listen and Send) and the name that was not found");
  } finally {
    await transport.stop();
  }
}

async function checkSending(config: Config): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const entity of entitiesSentTo(config)) {
    const check = `send to ${entity}`;
    const expected = "the entity to exist and to take messages";
    try {
      await withDeadline(checkSendingTo(config, entity));
      findings.push(judged(check, true, expected, "it does", ""));
    } catch (error) {
      findings.push(judged(check, false, expected, messageOf(error), "create the entity, name another in the configuration, or give the key the Send right"));
    }
  }
  return findings;
}

async function checkEntity(config: Config): Promise<Finding[]> {
  const check = "entity settings";
  try {
    const entity = await withDeadline(readBrokerFacts(config));
    const { deliveriesMax, retentionMs } = config;
    const lock = `${entity.lockDurationMs} ms`;
    const neverExpires = entity.timeToLiveMs === Number.POSITIVE_INFINITY;
    const timeToLive = neverExpires ? "messages never expire" : `${entity.timeToLiveMs} ms`;
    const onExpiry = entity.deadLettersOnExpiry ? "they are" : `they are dropped after ${timeToLive}`;
    return [
      judged("lock duration", entity.lockDurationMs >= lockMinMs, `at least ${lockMinMs} ms`, lock, "raise the entity's lock duration; 1 minute is a good value"),
      judged("delivery count", entity.deliveriesMax > deliveriesMax, `more than deliveriesMax (${deliveriesMax})`, String(entity.deliveriesMax), "raise the entity's maximum delivery count, or lower deliveriesMax, so that the worker gives a reason before the broker gives up"),
      judged("expiry", entity.deadLettersOnExpiry || neverExpires, "expired messages to be dead-lettered", neverExpires ? timeToLive : onExpiry, "turn on dead-lettering on message expiration for the entity"),
      judged("retention", neverExpires || retentionMs > entity.timeToLiveMs, `retentionMs above the time-to-live (${timeToLive})`, `${retentionMs} ms`, "raise retentionMs, or shorten the entity's time-to-live: a message that outlives its run record can run twice"),
      judged("sessions", !entity.requiresSession, "an entity without sessions", entity.requiresSession ? "it requires sessions" : "it has none", "read an entity that does not require sessions"),
      skewFinding("broker clock", entity.brokerTimeMs),
    ];
  } catch (error) {
    const remedy = "mend first what is wrong with the broker above; when nothing is, give the identity the Manage right to have this checked, or compare the entity's settings by hand";
    return [{ check, verdict: "unknown", expected: "the administration API to tell them", found: messageOf(error), remedy }];
  }
}

async function checkStore(config: Config, directory: string): Promise<Finding[]> {
  const expected = "the run store to answer";
  const store = composeRunStore(config, directory);
  try {
    await withDeadline(store.start());
    const findings = [judged("store", true, expected, `${config.store.kind} does`, "")];
    const facts = await readStoreFacts(config);
    if (facts === undefined) return findings;
    return [
      ...findings,
      judged("store eviction", facts.evictionPolicy === "noeviction", "maxmemory-policy noeviction", facts.evictionPolicy, "set maxmemory-policy to noeviction: an evicted record lets an event run twice"),
      skewFinding("store clock", facts.timeMs),
    ];
  } catch (error) {
    return [judged("store", false, expected, messageOf(error), "check the address and the credentials, and that the store's folder can be written")];
  } finally {
    await store.stop();
  }
}

function skewFinding(check: string, theirsMs: number | undefined): Finding {
  const expected = `within ${skewMaxMs} ms of this machine's`;
  if (theirsMs === undefined) return { check, verdict: "unknown", expected, found: "it did not tell its time", remedy: "compare the clocks by hand" };
  const skewMs = Math.round(theirsMs - Date.now());
  return judged(check, Math.abs(skewMs) <= skewMaxMs, expected, `${skewMs} ms apart`, "synchronise the clocks (NTP)");
}

async function withDeadline<T>(promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${answerTimeoutMs} ms`)), answerTimeoutMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function print(findings: readonly Finding[], json: boolean): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(findings, undefined, 2)}\n`);
    return;
  }
  const table = new Table({ head: ["check", "", "expected", "found", "remedy"], colWidths: [17, 9, 34, 40, 44], wordWrap: true, style: { head: [], border: [] } });
  for (const { check, verdict, expected, found, remedy } of findings) table.push([check, verdict, expected, found, remedy]);
  process.stdout.write(`${table.toString()}\n`);
}
