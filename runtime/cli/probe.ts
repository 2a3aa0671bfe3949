/** `holdfast probe`: has a worker send a probe, and waits for it. */
import { setTimeout as pause } from "node:timers/promises";
import Table from "cli-table3";
import { z } from "zod";
import { probeStages } from "../core/probe.ts";
import { ConfigurationError } from "../core/errors.ts";
import { type AdminPlaceOptions, callAdmin, placesOf, tokenOf } from "./admin-call.ts";
import { writeResult, writeText } from "./output.ts";

export interface ProbeOptions extends AdminPlaceOptions {
  readonly source?: string;
  readonly reason: string;
  /** In seconds. */
  readonly timeout: number;
  readonly json?: boolean;
}

const lookEveryMs = 200;

/** As the API's document has it. */
const answerSchema = z.object({
  id: z.string(),
  source: z.string(),
  entity: z.string(),
  state: z.enum(["under-way", "completed", "passed-by", "failed", "timed-out"]),
  why: z.string(),
  settledBy: z.string(),
  criticalMs: z.number().nullable(),
  stagesMs: z.partialRecord(z.enum(probeStages), z.number()),
});

type Answer = z.infer<typeof answerSchema>;

/** Whether it came through. */
export async function probe(options: ProbeOptions): Promise<boolean> {
  const { source, reason, timeout } = options;
  const [at, ...more] = await placesOf(options);
  if (at === undefined || more.length > 0) throw new ConfigurationError("--at: expected one admin server, which sends the probe, found several");
  const token = tokenOf(options);
  const query = source === undefined ? "" : `?source=${encodeURIComponent(source)}`;
  let answer = answerSchema.parse(await callAdmin(at, { method: "POST", path: `/api/v1/probes${query}`, body: { reason }, token }));
  const untilMs = performance.now() + timeout * 1_000;
  while (answer.state === "under-way" && performance.now() < untilMs) {
    await pause(lookEveryMs);
    answer = answerSchema.parse(await callAdmin(at, { path: `/api/v1/probes/${encodeURIComponent(answer.id)}`, token }));
  }
  if (options.json === true) writeResult(`${JSON.stringify(answer, undefined, 2)}\n`);
  else writeText(shown(answer));
  return answer.state === "completed";
}

function shown({ source, entity, state, why, settledBy, criticalMs, stagesMs }: Answer): string {
  const by = settledBy === "" ? "" : `, settled by ${settledBy}`;
  const head = `probe of ${source} through ${entity}: ${state}${by}${why === "" ? "" : `; ${why}`}\n`;
  const known = probeStages.filter((stage) => stagesMs[stage] !== undefined);
  if (known.length === 0) return head;
  const table = new Table({ head: [...known, "critical time"], style: { head: [], border: [] } });
  table.push([...known.map((stage) => stagesMs[stage]), criticalMs].map((ms) => (ms === null || ms === undefined ? "–" : `${ms.toFixed(1)} ms`)));
  return `${head}${table.toString()}\n`;
}
