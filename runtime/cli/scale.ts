/** `holdfast scale`: asks the workers of a pool how many of them there should be. */
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import Table from "cli-table3";
import { z } from "zod";
import { counted } from "../core/counted.ts";
import { ConfigurationError, HoldfastError, messageOf } from "../core/errors.ts";
import { bottleneckKinds, workersWanted } from "../policy/scale-advice.ts";
import { adminAddressOf } from "./admin-address.ts";
import { loadConfig } from "./load-config.ts";
import { writeNote, writeResult, writeText } from "./output.ts";

export interface ScaleOptions {
  readonly config?: string;
  readonly at: readonly string[];
  readonly tokenFile?: string;
  readonly min: number;
  readonly max: number;
  readonly json?: boolean;
}

const answerWithinMs = 10_000;

/** As the API's document has it. */
const answerSchema = z.object({
  forRuns: z.number(),
  forBacklog: z.number(),
  bottleneck: z.object({ kind: z.enum(bottleneckKinds), dependency: z.string(), workersHelp: z.boolean() }),
  waiting: z.number(),
  waitingWorkSeconds: z.number(),
  safeConcurrency: z.number(),
});

interface Answered extends z.infer<typeof answerSchema> {
  readonly at: string;
}

export async function scale(options: ScaleOptions): Promise<void> {
  const { min, max } = options;
  if (min > max) throw new ConfigurationError(`--min: expected at most --max (${max}), found ${min}`);
  const token = options.tokenFile === undefined ? undefined : readFileSync(options.tokenFile, "utf8").trim();
  const answers = (await Promise.all((await placesOf(options)).map((place) => askAll(place, token)))).flat();
  const workers = Math.min(max, Math.max(min, workersWanted(answers)));
  // A pool of no workers answers nothing, and is not asked here.
  const result = { workers, running: answers.length, bottlenecks: bottlenecksOf(answers), answers };
  if (options.json === true) writeResult(`${JSON.stringify(result, undefined, 2)}\n`);
  else writeText(shown(result));
}

async function placesOf({ at, config: file }: ScaleOptions): Promise<readonly string[]> {
  if (at.length > 0) return at;
  return [adminAddressOf(await loadConfig(file))];
}

/** Whoever answers counts: a pool always has a worker that starts or ends. Fails when none of a place does. */
async function askAll(place: string, token: string | undefined): Promise<readonly Answered[]> {
  const silent: unknown[] = [];
  for (const urls of await addressesOf(place)) {
    const asked = await Promise.allSettled(urls.map((url) => ask(url, token)));
    const answers = asked.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const failures = asked.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
    if (answers.length > 0) {
      for (const failure of failures) writeNote(`left out: ${messageOf(failure, 300)}`);
      return answers;
    }
    silent.push(...failures);
  }
  throw silent[0];
}

/**
 * Each worker of a headless service has an address of its own under one name, and two where it has one of either family: the second
 * family is asked when nobody of the first answers. Over TLS the name is what is checked, and stays.
 */
async function addressesOf(place: string): Promise<readonly (readonly string[])[]> {
  if (!URL.canParse(place) || !/^https?:$/.test(new URL(place).protocol))
    throw new ConfigurationError(`--at: expected an http or https address, found '${place}'`);
  const url = new URL(place);
  if (url.protocol === "https:") return [[url.origin]];
  try {
    const found = await lookup(url.hostname.replace(/^\[|\]$/g, ""), { all: true });
    const of = (family: number): string[] =>
      found.filter((one) => one.family === family).map(({ address }) => `http://${family === 6 ? `[${address}]` : address}:${url.port || "80"}`);
    return [of(4), of(6)].filter((urls) => urls.length > 0);
  } catch (error) {
    throw new HoldfastError("HOLDFAST_UNREACHABLE", `expected '${url.hostname}' to have an address, found ${messageOf(error)}`, { cause: error });
  }
}

async function ask(at: string, token: string | undefined): Promise<Answered> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  try {
    const response = await fetch(`${at}/api/v1/scale`, { headers, signal: AbortSignal.timeout(answerWithinMs) });
    if (response.status !== 200) throw new TypeError(`expected 200, found ${response.status}: ${(await response.text()).slice(0, 200)}`);
    return { at, ...answerSchema.parse(await response.json()) };
  } catch (error) {
    throw new HoldfastError("HOLDFAST_UNREACHABLE", `expected the admin server on ${at} to answer, found ${messageOf(error, 300)}`, { cause: error });
  }
}

function bottlenecksOf(answers: readonly Answered[]): readonly string[] {
  return [...new Set(answers.filter(({ bottleneck }) => bottleneck.kind !== "none").map(named))].toSorted();
}

function named({ bottleneck: { kind, dependency } }: Answered): string {
  return dependency === "" ? kind : `${kind} of ${dependency}`;
}

function shown({
  workers,
  running,
  bottlenecks,
  answers,
}: {
  workers: number;
  running: number;
  bottlenecks: readonly string[];
  answers: readonly Answered[];
}): string {
  const table = new Table({
    head: ["worker", "for runs", "for backlog", "waiting", "seconds of work", "safe concurrency", "bottleneck"],
    style: { head: [], border: [] },
  });
  for (const answer of answers) {
    const numbers = [answer.forRuns, answer.forBacklog, answer.waiting, answer.waitingWorkSeconds, answer.safeConcurrency];
    table.push([answer.at, ...numbers.map((number) => String(Math.round(number * 100) / 100)), named(answer)]);
  }
  const standing = answers.filter(({ bottleneck }) => bottleneck.kind !== "none" && !bottleneck.workersHelp);
  const why = standing.length === 0 ? "" : "; further workers would wait for the same";
  return `${counted(workers, "worker")} wanted, ${running} running; bottleneck: ${bottlenecks.join(", ") || "none"}${why}\n${table.toString()}\n`;
}
