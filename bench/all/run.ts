import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { collect, readCollected } from "../report/collected.ts";
import { reportPage } from "../report/page.ts";
import type { ReportDocument } from "../support/document.ts";
import { makeOutFolder } from "../support/out-folder.ts";
import { startBenchRedis } from "../support/redis.ts";
import type { ReportOptions } from "../support/report.ts";
import { interruptibly, type Ran, runScenario } from "./scenario-process.ts";
import { scenarioNames } from "./scenarios.ts";

export interface AllOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly out: string;
  readonly only: readonly string[];
  readonly continue?: boolean;
}

/** Several times what any of them takes on a machine that is busy with other things. */
const quickMaxMs = 240_000;
const fullMaxMs = 4 * 3_600_000;
const interruptedCode = 130;

export async function run(options: AllOptions): Promise<number> {
  const { out, json } = options;
  makeOutFolder("--out", out);
  const file = join(out, "results.json");
  const documents = new Map((options.continue === true && existsSync(file) ? keptOf(file) : []).map((document) => [document.scenario, document]));
  const ran: Ran[] = [];
  const isInterrupted = await interruptibly(async (interrupted) => {
    await runMissing(options, documents, ran, interrupted);
    return interrupted.aborted;
  });
  write(out, documents);
  const collected = readFileSync(file, "utf8");
  if (json === true) process.stdout.write(collected);
  else if (json !== undefined && json !== false) writeFileSync(json, collected);
  tell(options, documents, ran);
  if (isInterrupted) return interruptedCode;
  return ran.every(({ code }) => code === 0) ? 0 : 1;
}

async function runMissing(options: AllOptions, documents: Map<string, ReportDocument>, ran: Ran[], interrupted: AbortSignal): Promise<void> {
  const { only, out, quick = false, check = false, json } = options;
  const missing = only.filter((name) => !documents.has(name));
  if (missing.length === 0) return;
  const redis = await startBenchRedis();
  try {
    for (const name of missing) {
      const parameters = [...(quick ? ["--quick"] : []), ...(check ? ["--check"] : [])];
      const limitMs = quick ? quickMaxMs : fullMaxMs;
      const one = await runScenario({ name, parameters, isSilent: json === true, redisUrl: redis.url, limitMs, interrupted });
      if (interrupted.aborted) break;
      ran.push(one);
      if (one.document !== undefined) documents.set(name, one.document);
      // What is found is there whatever becomes of the rest.
      write(out, documents);
    }
  } finally {
    await redis.stop();
  }
}

/** What need not be run again: a scenario that has found something wrong is not kept. */
function keptOf(file: string): readonly ReportDocument[] {
  return readCollected(file).filter(({ checks }) => checks.every(({ kind, ok }) => ok || kind === "target"));
}

function write(out: string, documents: ReadonlyMap<string, ReportDocument>): void {
  const inOrder = scenarioNames.flatMap((name) => documents.get(name) ?? []);
  writeFileSync(join(out, "results.json"), `${JSON.stringify(collect(inOrder))}\n`);
  writeFileSync(join(out, "results.html"), reportPage(inOrder));
}

/** One line a scenario. */
function tell({ out, only }: AllOptions, documents: ReadonlyMap<string, ReportDocument>, ran: readonly Ran[]): void {
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  for (const name of only) {
    const one = ran.find((candidate) => candidate.name === name);
    const took = one === undefined ? (documents.has(name) ? "kept" : "not run") : `${one.tookS.toFixed(0)} s`;
    say(`${name.padEnd(13)} ${took.padStart(7)}  ${howOf(one, documents.get(name))}`);
  }
  const tookS = ran.reduce((sum, one) => sum + one.tookS, 0);
  say(`${tookS.toFixed(0)} s in all; written: ${join(out, "results.json")} and ${join(out, "results.html")}`);
}

function howOf(one: Ran | undefined, document: ReportDocument | undefined): string {
  if (one?.isOverdue === true) return "took too long, and was ended";
  if (one !== undefined && one.document === undefined) return `failed with ${String(one.code)}`;
  if (document === undefined) return "";
  const failed = (wanted: "guard" | "gate" | "target"): number => document.checks.filter(({ kind, ok }) => kind === wanted && !ok).length;
  const [guards, gates, targets] = [failed("guard"), failed("gate"), failed("target")];
  const short = document.checks.filter(({ isShortOfAim }) => isShortOfAim === true).length;
  const parts = [
    guards > 0 ? `${guards} guards BROKEN` : "",
    gates > 0 ? `${gates} gates MISSED` : "",
    guards + gates === 0 ? "guards and gates held" : "",
    targets > 0 ? `${targets} targets missed` : "",
    short > 0 ? `${short} short of their aims` : "",
  ];
  return parts.filter((part) => part !== "").join("; ");
}
