import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { collect } from "../report/collected.ts";
import { startBenchRedis } from "../support/redis.ts";
import { reportPage } from "../report/page.ts";
import { quickParameters } from "./scenarios.ts";
import type { ReportDocument } from "../support/document.ts";
import type { ReportOptions } from "../support/report.ts";

export interface AllOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly out: string;
  readonly only: readonly string[];
}

interface Ran {
  readonly name: string;
  readonly tookS: number;
  readonly code: number | null;
  readonly document: ReportDocument | undefined;
}

const main = resolve(import.meta.dirname, "../main.ts");

export async function run(options: AllOptions): Promise<number> {
  const { out, only, json } = options;
  const ran: Ran[] = [];
  const redis = await startBenchRedis();
  try {
    for (const name of only) ran.push(await runScenario(name, options, redis.url));
  } finally {
    await redis.stop();
  }
  const documents = ran.map(({ document }) => document).filter((document) => document !== undefined);
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "results.json"), `${JSON.stringify(collect(documents))}\n`);
  writeFileSync(join(out, "results.html"), reportPage(documents));
  if (json === true) process.stdout.write(`${JSON.stringify(collect(documents))}\n`);
  else if (json !== undefined && json !== false) writeFileSync(json, `${JSON.stringify(collect(documents))}\n`);
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  for (const { name, tookS, code, document } of ran) {
    const checks = document?.checks ?? [];
    const broken = checks.filter(({ kind, ok }) => kind === "guard" && !ok);
    const missed = checks.filter(({ kind, ok }) => kind === "target" && !ok);
    const how = document === undefined ? `failed with ${String(code)}` : broken.length > 0 ? `${broken.length} guards broken` : "guards held";
    say(`${name.padEnd(13)} ${tookS.toFixed(0).padStart(4)} s  ${how}${missed.length === 0 ? "" : `; ${missed.length} targets missed`}`);
  }
  say(`written: ${join(out, "results.json")} and ${join(out, "results.html")}`);
  return ran.every(({ code }) => code === 0) ? 0 : 1;
}

async function runScenario(name: string, { quick = false, check = false, json }: AllOptions, redisUrl: string): Promise<Ran> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-all-"));
  const file = join(folder, "document.json");
  const startMs = performance.now();
  try {
    if (json !== true) process.stdout.write(`\n${name}\n`);
    const parameters = [main, name, "--json", file, ...(quick ? (quickParameters.get(name) ?? ["--quick"]) : []), ...(check ? ["--check"] : [])];
    // One document is printed, or tables: not both.
    const child = spawn(process.execPath, parameters, {
      stdio: ["ignore", json === true ? "ignore" : "inherit", "inherit"],
      env: { ...process.env, REDIS_URL: redisUrl },
    });
    const [code] = (await once(child, "exit")) as [number | null];
    const document = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as ReportDocument) : undefined;
    return { name, tookS: (performance.now() - startMs) / 1_000, code, document };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
