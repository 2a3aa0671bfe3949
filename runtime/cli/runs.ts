/** `holdfast runs list | show`. */
import { counted } from "../core/counted.ts";
import Table from "cli-table3";
import { ConfigurationError } from "../core/errors.ts";
import { didYouMean } from "../core/near-name.ts";
import type { RunKind, RunSummary } from "../core/run.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { holderOf } from "../recovery/runs-progress.ts";
import { allStates, LatestRuns, scanRuns } from "../recovery/runs-scan.ts";
import { printJson, time } from "./dlq-letters.ts";
import { writeNote, writeText } from "./output.ts";
import type { ListOptions, ShowRunOptions } from "./runs-options.ts";
import { loadSources } from "./load-source.ts";
import { chooseByEvent, type OpenRecords, readRun, withRecords, withRecordsOf } from "./runs-records.ts";
import { type Plain, plainRun } from "./runs-view.ts";

type Kinds = ReadonlyMap<string, RunKind>;

/** A run of one of the sources. */
export interface ListedRun extends RunSummary {
  readonly source: string;
}

export async function list(options: ListOptions): Promise<void> {
  const sources = await loadSources(options);
  const kinds = new Map<string, RunKind>();
  // Of all of them, so that a name is right that runs of any source have.
  for (const one of sources) await withRecordsOf(one, async (open) => open.kinds.forEach((kind, hash) => kinds.set(hash, kind)));
  checkNames("skill", options.skill, kinds);
  checkNames("type", options.type, kinds);
  const latest = new LatestRuns<ListedRun>(options.limit);
  let unnamed = 0;
  for (const one of sources) unnamed += await withRecordsOf(one, (open) => addRuns(open, options, kinds, latest));
  const runs = latest.list();
  if (options.json === true)
    printJson({ total: latest.total, states: Object.fromEntries(latest.byState), unnamed, runs: runs.map((run) => plainSummary(run, kinds)) });
  else writeText(describeList(latest, runs, kinds, unnamed, sources.length > 1));
}

/** Answers how many runs are left out because nobody knows of which skill they are. */
async function addRuns({ loaded, records, signal }: OpenRecords, options: ListOptions, kinds: Kinds, latest: LatestRuns<ListedRun>): Promise<number> {
  const states = options.state.length === 0 ? allStates : options.state;
  let unnamed = 0;
  for await (const page of scanRuns(records, { clock: systemClock, states, signal })) {
    for (const run of page) {
      if (run.writtenAgoMs < (options.olderThan ?? 0)) continue;
      const kind = kinds.get(run.pipelineHash);
      if (isWanted(kind, options)) latest.add({ ...run, source: loaded.name });
      else if (kind === undefined) unnamed += 1;
    }
  }
  if (signal.aborted) writeNote("interrupted: not all records were looked at");
  return unnamed;
}

/** A name that no worker has ever run is more likely misspelt. */
function checkNames(option: "skill" | "type", names: readonly string[], kinds: Kinds): void {
  const known = [...new Set([...kinds.values()].map(({ skill, eventType }) => (option === "skill" ? skill : eventType)))];
  for (const name of names) {
    if (!known.includes(name))
      throw new ConfigurationError(
        `--${option}: expected one that workers of this consumer have run (${known.join(", ") || "none yet"}), got '${name}'${didYouMean(name, known)}`,
      );
  }
}

function isWanted(kind: RunKind | undefined, { skill, type }: ListOptions): boolean {
  if (skill.length === 0 && type.length === 0) return true;
  return kind !== undefined && (skill.length === 0 || skill.includes(kind.skill)) && (type.length === 0 || type.includes(kind.eventType));
}

export function plainSummary(run: ListedRun, kinds: Kinds): Plain {
  const { pipelineHash, payloadHash: _hash, claim, writtenAgoMs, ...rest } = run;
  const kind = kinds.get(pipelineHash);
  const nowMs = Date.now();
  const held = claim === undefined ? {} : { holder: holderOf(claim.token), leaseUntil: time(nowMs + claim.leftMs), leaseIsOver: claim.leftMs <= 0 };
  return { ...rest, skill: kind?.skill ?? "", eventType: kind?.eventType ?? "", ...held, written: time(nowMs - writtenAgoMs) };
}

function describeList(latest: LatestRuns<ListedRun>, runs: readonly ListedRun[], kinds: Kinds, unnamed: number, isOfMany: boolean): string {
  const rest = unnamed === 0 ? "" : `${unnamed} more are of skills that no worker has named in this store: 'runs show' may tell\n`;
  if (runs.length === 0) return `no such runs\n${rest}`;
  const table = new Table({
    head: [isOfMany ? "event, source" : "event", "skill and type", "state", "attempts", "steps", "last written"],
    style: { head: [], border: [] },
  });
  for (const run of runs) {
    const kind = kinds.get(run.pipelineHash);
    table.push([
      isOfMany ? `${run.eventId}\n${run.source}` : run.eventId,
      kind === undefined ? "–" : `${kind.skill}\n${kind.eventType}`,
      stateText(run),
      attemptsText(run),
      run.steps,
      time(Date.now() - run.writtenAgoMs),
    ]);
  }
  const counts = [...latest.byState].map(([state, number]) => `${number} ${state}`).join(", ");
  const which = runs.length < latest.total ? `; the last ${runs.length}` : "";
  return `${counted(latest.total, "run")} (${counts})${which}\n${table.toString()}\n${rest}`;
}

function stateText({ state, reason, claim, outboxBytes }: RunSummary): string {
  if (claim !== undefined) return `${state}\n${holderOf(claim.token)}${claim.leftMs > 0 ? "" : " (its lease is over)"}`;
  if (state === "done") return outboxBytes === 0 ? state : `${state}\nits events are not known to be published`;
  return reason === undefined ? state : `${state}\n${reason}`;
}

function attemptsText({ failures, losses, generation }: RunSummary): string {
  const parts = [`${failures} failed`, ...(losses > 0 ? [`${losses} lost`] : []), ...(generation > 0 ? [`generation ${generation}`] : [])];
  return parts.join("\n");
}

export async function show(eventId: string, options: ShowRunOptions): Promise<void> {
  await withRecords(await chooseByEvent(options, eventId), async (open) => {
    const view = await readRun(open, eventId);
    const plain = { eventId, source: open.loaded.name, ...plainRun(view, open.kinds.get(view.pipelineHash), options.results === true) };
    if (options.json === true) printJson(plain);
    else writeText(describe(plain));
  });
}

function describe(run: Plain): string {
  const lines = Object.entries(run).flatMap(([name, value]) => {
    if (Array.isArray(value)) return value.length === 0 ? [] : [`${name.padEnd(13)} ${value.map(inLine).join(`\n${" ".repeat(14)}`)}`];
    return [`${name.padEnd(13)} ${typeof value === "string" ? value : JSON.stringify(value)}`];
  });
  return `${lines.join("\n")}\n`;
}

/** The fields of one step or entry, the first one without its name. */
function inLine(item: unknown): string {
  if (typeof item !== "object" || item === null) return String(item);
  return Object.entries(item)
    .flatMap(([name, value], index) => {
      if (value === "" || value === undefined) return [];
      const text = typeof value === "string" ? value : JSON.stringify(value);
      return [index === 0 ? text : `${name} ${text}`];
    })
    .join(", ");
}
