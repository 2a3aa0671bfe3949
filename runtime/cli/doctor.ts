/**
 * `holdfast doctor`: shows what a worker needs and what is there. `start` makes the same checks: those of checks.ts before it
 * begins, the others by beginning.
 */
import Table from "cli-table3";
import { systemClock } from "../adapters/system/clock.ts";
import { composeTransports, transportOf } from "../compose/broker.ts";
import { composeExecutor } from "../compose/executor.ts";
import { type ComposedMemory, composeMemory, describeMemory } from "../compose/memory.ts";
import { composeSkills } from "../compose/skills.ts";
import { composeRunStores, suspectMsOf } from "../compose/store.ts";
import type { Config } from "../core/config.ts";
import type { SourceSettings } from "../core/config/sources.ts";
import { messageOf } from "../core/errors.ts";
import { printableLines } from "../core/printable.ts";
import { isMistake } from "../pipeline/source-health.ts";
import { type DoubtView, StoreDoubt } from "../policy/store-doubt.ts";
import { deafListener } from "../ports/executor.ts";
import type { Transport } from "../ports/transport.ts";
import { checkSurroundings } from "./checks.ts";
import { type Finding, foundIn, judged, withDeadline } from "./finding.ts";
import { type ConfigFlags, loadConfig } from "./load-config.ts";
import { writeResult, writeText } from "./output.ts";
import { fitted, tableWidths } from "./table-widths.ts";
import { weighed } from "./weighed.ts";
import { reportSuspects } from "../admin/worker-state.ts";

/** Prints all findings; false when one failed. */
export async function doctor(options: ConfigFlags & { readonly config?: string; readonly json?: boolean }): Promise<boolean> {
  const { config, directory, file } = await loadConfig(options.config, options);
  const read = judged("configuration", true, "a configuration without mistakes", file, "");
  const findings = [read, ...(await diagnose(config, directory))];
  print(findings, options.json === true);
  return findings.every(({ verdict }) => verdict !== "failed");
}

/** Of all but the configuration's own mistakes. Never rejects. */
export async function diagnose(config: Config, directory: string): Promise<readonly Finding[]> {
  const findings = [
    ...(await checkPlugins(config, directory)),
    ...(await Promise.all([checkReachable(config), checkStore(config, directory)])).flat(),
    ...(await checkSurroundings(config, directory)),
  ];
  return weighed(findings, config);
}

async function checkPlugins(config: Config, directory: string): Promise<readonly Finding[]> {
  const expected = "every listed plugin to load, and a thread to get ready with it";
  try {
    const skills = await composeSkills(config, directory);
    const { executor } = composeExecutor(config, skills, { threads: 1 });
    try {
      await executor.start(deafListener);
    } finally {
      await executor.stop();
    }
    const names = skills.registry.skills.map(({ name }) => name).join(", ");
    return [judged("plugins", true, expected, names, ""), memoryFinding(composeMemory(config, skills))];
  } catch (error) {
    return [
      judged(
        "plugins",
        false,
        expected,
        messageOf(error),
        "correct the plugin or what the configuration says of it, or take it off the list; `holdfast skills` shows what is registered",
      ),
    ];
  }
}

/** No fault either: where the main thread may take more than its part, threads and messages may find less than theirs. */
function memoryFinding(memory: ComposedMemory): Finding {
  const { mainHeapBytes, mainHeapLimitBytes } = memory;
  const mb = Math.floor(mainHeapBytes / 1024 ** 2);
  // V8 adds room for new objects to what it was told.
  const isLarge = mainHeapLimitBytes > 1.5 * mainHeapBytes;
  const remedy = isLarge ? `start it with NODE_OPTIONS=--max-old-space-size=${mb}, or more memory: that is the main thread's part` : "";
  return { check: "memory", verdict: "ok", expected: "parts that fit into what the worker may use", found: describeMemory(memory), remedy };
}

async function checkReachable(config: Config): Promise<readonly Finding[]> {
  const make = await composeTransports(config);
  return Promise.all(config.sources.map((source) => checkSource(source, transportOf(source, make), config.sources.length > 1)));
}

async function checkSource(source: SourceSettings, transport: Transport, isOneOfMany: boolean): Promise<Finding> {
  const check = isOneOfMany ? `broker: ${source.name}` : "broker";
  const entities =
    "queue" in source
      ? `the queue '${source.queue}'`
      : `the subscription '${source.subscription}' of the topic '${source.topic}' and the retry queue '${source.retryQueue}'`;
  const expected = `the broker to answer and ${entities} to exist`;
  try {
    await withDeadline(transport.start());
    return judged(check, true, expected, "it does", "");
  } catch (error) {
    const remedy = "check the address, the key's rights (Listen and Send) and the name that was not found";
    const finding = judged(check, false, expected, foundIn(error), remedy);
    return isMistake(error) ? finding : { ...finding, awaits: source.name };
  } finally {
    await transport.stop();
  }
}

async function checkStore(config: Config, directory: string): Promise<readonly Finding[]> {
  const expected = "the run store to answer";
  const doubt = new StoreDoubt({ clock: systemClock, windowMs: suspectMsOf(config), tell: () => undefined });
  // Each source has records of its own, which may be lost by themselves.
  const { stores } = composeRunStores(config, directory, () => ({ isObserver: true, onSuspect: (suspicion) => doubt.lost(suspicion) }));
  try {
    for (const store of stores) await withDeadline(store.start());
    return [judged("store", true, expected, `${config.store.kind} does`, ""), recordsFinding(doubt.view())];
  } catch (error) {
    return [judged("store", false, expected, messageOf(error), "check the address and the credentials, and that the store's folder can be written")];
  } finally {
    for (const store of stores) await store.stop();
  }
}

/** No fault of what is there now: it says how events from before are handled, and until when. */
function recordsFinding(views: readonly DoubtView[]): Finding {
  const found = reportSuspects(views, Date.now()).map(({ why, since, until }) => `${why} (noticed ${since}, until ${until})`);
  const remedy = "steps of such events that have no record are parked or looked for; see 'A store that forgot' in the README";
  return { check: "store records", verdict: "ok", expected: "none lost", found: found.join("; ") || "none", remedy: found.length === 0 ? "" : remedy };
}

/** Of the check and its verdict; what was expected, found and can be done share what is left. */
const fixedColumns = [17, 9];
const sharedColumns = [0.28, 0.35];

function print(findings: readonly Finding[], json: boolean): void {
  if (json) {
    writeResult(`${JSON.stringify(findings, undefined, 2)}\n`);
    return;
  }
  const colWidths = tableWidths(fixedColumns, sharedColumns);
  const table = new Table({
    head: ["check", "", "expected", "found", "remedy"],
    colWidths,
    wordWrap: true,
    style: { head: [], border: [] },
  });
  for (const { check, verdict, expected, found, remedy } of findings)
    table.push([check, verdict, expected, found, remedy].map((text, column) => fitted(printableLines(text), colWidths[column] ?? 0)));
  writeText(`${table.toString()}\n`);
}
