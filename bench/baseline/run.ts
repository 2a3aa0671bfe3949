import { existsSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { ConfigurationError } from "#runtime/core/errors.ts";
import { interruptibly, type Ran, runScenario } from "../all/scenario-process.ts";
import { compare, tellCompared } from "../compare/run.ts";
import { collect, readCollected } from "../report/collected.ts";
import { MachineWatch, type ReportDocument } from "../support/document.ts";
import { makeOutFolder } from "../support/out-folder.ts";
import { startBenchRedis } from "../support/redis.ts";

export interface BaselineOptions {
  readonly file: string;
  readonly tolerance: number;
  readonly save?: boolean;
}

/** Enough rounds to tell how they spread, of the contenders that say most. */
const scenarios: readonly (readonly [name: string, parameters: readonly string[]])[] = [
  ["peers", ["--handlers", "no-op", "--only", "holdfast,subscribe-200,receive-messages,bare-sdk", "--rounds", "4", "--seconds", "2"]],
  ["settlement", ["--quick"]],
];
const limitMs = 240_000;
const interruptedCode = 130;

export async function run({ file, tolerance, save = false }: BaselineOptions): Promise<number> {
  if (!save && !existsSync(file)) throw new ConfigurationError(`${file}: expected a saved run; make one with --save`);
  const before = save ? [] : savedHere(file);
  if (save) makeOutFolder("--save", dirname(file));
  const ran = await interruptibly(runAll);
  if (ran === undefined) return interruptedCode;
  const after = ran.flatMap(({ document }) => document ?? []);
  const hasFailed = ran.some(({ code }) => code !== 0);
  if (hasFailed) process.stderr.write("a scenario has failed, or found something lost, settled wrong or done twice: see above\n");
  if (!save) return Math.max(hasFailed ? 1 : 0, tellCompared(compare(before, after, tolerance), true));
  if (hasFailed) return 1;
  writeFileSync(file, `${JSON.stringify(collect(after.map(withRatios)), null, 1)}\n`);
  process.stderr.write(`saved: ${file}\n`);
  return 0;
}

function savedHere(file: string): readonly ReportDocument[] {
  const documents = readCollected(file);
  const here = new MachineWatch().document().kind;
  const strange = documents.find(({ machine }) => machine.kind !== here);
  if (strange !== undefined)
    throw new ConfigurationError(`${file}: expected a run of this kind of machine (${here}), found one of ${strange.machine.kind}; save one here with --save`);
  return documents;
}

async function runAll(interrupted: AbortSignal): Promise<readonly Ran[] | undefined> {
  const ran: Ran[] = [];
  const redis = await startBenchRedis();
  try {
    for (const [name, parameters] of scenarios) {
      ran.push(await runScenario({ name, parameters, isSilent: false, redisUrl: redis.url, limitMs, interrupted }));
      if (interrupted.aborted) return undefined;
    }
  } finally {
    await redis.stop();
  }
  return ran;
}

/** What is compared is all that is kept. */
function withRatios(document: ReportDocument): ReportDocument {
  return { ...document, figures: {}, tables: [], charts: [] };
}
