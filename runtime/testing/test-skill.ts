/** `testSkill`: a skill run as a worker runs it, in process, on simulated time; and in every way that a run can go. */
import { resolve } from "node:path";
import { openContracts } from "../contracts/compiled-contracts.ts";
import { ConfigurationError } from "../core/errors.ts";
import { show } from "../skills/author/check-options.ts";
import { type Skill, isSkill } from "../skills/author/define-skill.ts";
import { type Tolerance, differences } from "./compare.ts";
import { type Provided, type ProvidedResource, type ProvidedSettings, providedOf } from "./provide.ts";
import {
  type CaseOptions,
  type CaseReport,
  type DoneBefore,
  runSkillCase,
  type SkillOutcome,
  type TestEvent,
  type TestMessage,
  type TestSession,
} from "./skill-case.ts";
import type { Stub } from "./stub.ts";
import { type Way, waysOf } from "./ways.ts";

/** What `testSkill` takes beside the skill. */
export interface TestSkillOptions {
  /** The event; fields that are left out are filled in: the first type that the skill handles, in the first version, id `event-1`, payload `{}`. */
  readonly event?: TestEvent;
  /** What the event's message says beside it: for a skill that asks for its message, or replies. */
  readonly message?: TestMessage;
  /** The session that its message is one of, for a skill that keeps a state from one message to the next. Default: none. */
  readonly session?: TestSession;
  /** Steps that an execution before has left on record, in their order: the run goes on behind them. Default: none. */
  readonly done?: readonly DoneBefore[];
  /** What stands in for each dependency that the skill calls. */
  readonly dependencies?: readonly Stub[];
  /** Values of its plugin's settings: `provide(shopSettings, { currency: "EUR" })`. Default: it has none. */
  readonly settings?: ProvidedSettings;
  /** What stands in for resources: `provide(shopDatabase, database)`. One that is not among them is opened, and closed with the test. */
  readonly resources?: readonly ProvidedResource[];
  /** Feature flags that there are, and whether each is on. Default: none. */
  readonly flags?: Readonly<Record<string, boolean>>;
  /** The folder of the contracts, from the working folder: the event is checked and converted by them, and what is emitted is checked. Default: none. */
  readonly contracts?: string;
  /** Of the jitter of pauses, from 1; default 1. The same seed gives the same times. */
  readonly seed?: number;
}

/** What `testSkill.everyWay` takes beside the skill. */
export interface EveryWayOptions extends TestSkillOptions, Partial<Omit<Tolerance, "mayFail">> {
  /** The skill as it will be: each crash is also resumed by it, as when a new version is rolled out. */
  readonly successor?: Skill;
  /** Only the ways whose description holds this text, to repeat one that failed. */
  readonly only?: string;
}

/** How ways of one kind went. */
export interface WaysRow {
  readonly kind: string;
  readonly cases: number;
  readonly failed: number;
}

/** What `testSkill.everyWay` resolves with: every way came to the same end. */
export interface EveryWayReport {
  /** How it goes without trouble. */
  readonly undisturbed: SkillOutcome;
  readonly rows: readonly WaysRow[];
  readonly cases: number;
}

/** A skill does not come to the same end in every way. `message` holds a table of all ways and says what differs in the first one. */
export class EveryWayError extends Error {
  override readonly name = "EveryWayError";
  readonly rows: readonly WaysRow[];
  /** Description of the first way that differs; give it as `only` to repeat it. */
  readonly way: string;
  readonly differences: readonly string[];

  constructor(message: string, rows: readonly WaysRow[], way: string, found: readonly string[]) {
    super(message);
    this.rows = rows;
    this.way = way;
    this.differences = found;
  }
}

function describe(skill: string, rows: readonly WaysRow[], way: string, found: readonly string[], seed: number): string {
  const differences = found.map((one) => `  ${one}`).join("\n");
  return `${skill}: expected the same end in every way, found another when ${way}:\n${differences}\n\n${table(rows)}\n\nrepeat it with everyWay(…, { only: ${JSON.stringify(way)}, seed: ${seed} })`;
}

function table(rows: readonly WaysRow[]): string {
  const width = Math.max(4, ...rows.map(({ kind }) => kind.length));
  const line = (kind: string, cases: string, failed: string): string => `  ${kind.padEnd(width)}  ${cases.padStart(5)}  ${failed.padStart(6)}`;
  return [line("ways", "cases", "differ"), ...rows.map(({ kind, cases, failed }) => line(kind, String(cases), String(failed)))].join("\n");
}

async function caseOf(
  skill: Skill,
  { event = {}, message, session, done, dependencies = [], settings, resources = [], flags = {}, contracts, seed = 1 }: TestSkillOptions,
): Promise<CaseOptions> {
  if (!isSkill(skill)) throw new ConfigurationError(`testSkill: expected a skill made by defineSkill, got ${show(skill)}`);
  if (!Number.isInteger(seed) || seed < 1) throw new ConfigurationError(`testSkill: expected a whole seed of 1 or more, got ${show(seed)}`);
  const used = new Set(skill.uses.map(({ name }) => name));
  for (const { dependency } of dependencies)
    if (!used.has(dependency.name))
      throw new ConfigurationError(
        `testSkill: expected stubs of what skill '${skill.name}' names in uses (${[...used].join(", ") || "nothing"}), got one of '${dependency.name}'`,
      );
  const provided: Provided = {
    ...(await providedOf(settings, resources)),
    flags: new Map(Object.entries(flags)),
    contracts: contracts === undefined ? undefined : await openContracts({ folder: resolve(contracts), unknown: "allow" }),
  };
  return { skill, event, message, session, done, stubs: dependencies, provided, seed };
}

/** Without what the kit alone needs to know. */
function outcomeOf({ points: _points, death: _death, ...outcome }: CaseReport): SkillOutcome {
  return outcome;
}

async function runOnce(skill: Skill, options: TestSkillOptions = {}): Promise<SkillOutcome> {
  return outcomeOf(await runSkillCase(await caseOf(skill, options)));
}

async function goOneWay(base: CaseOptions, usual: CaseReport, way: Way, tolerance: Tolerance): Promise<readonly string[]> {
  try {
    return differences(usual, await runSkillCase({ ...base, ...way.options }), way, tolerance);
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

/** A case that fails anyway fails in every way: that shows nothing, unless it is meant. */
function checkUndisturbed({ name }: Skill, { outcome, reason, description }: CaseReport, mayEnd: Tolerance["mayEnd"]): void {
  if (outcome === "completed" || mayEnd.includes(outcome)) return;
  const found = `it is ${outcome} as ${reason}: ${description}`;
  throw new EveryWayError(
    `skill '${name}': expected the event to complete without trouble, found that ${found}; say mayEnd: ["${outcome}"] where that is meant`,
    [],
    "nothing goes wrong",
    [found],
  );
}

async function everyWay(skill: Skill, options: EveryWayOptions = {}): Promise<EveryWayReport> {
  const { mayEnd = [], varies = [], successor, only, seed = 1, dependencies = [] } = options;
  const base = await caseOf(skill, options);
  const usual = await runSkillCase(base);
  checkUndisturbed(skill, usual, mayEnd);
  const tolerance: Tolerance = { mayEnd, varies, mayFail: dependencies.filter(({ mayFail }) => mayFail).map(({ dependency }) => dependency.name) };
  const rows = new Map<string, { kind: string; cases: number; failed: number }>();
  let first: { readonly way: Way; readonly found: readonly string[] } | undefined;
  for (const way of waysOf(usual, skill, successor)) {
    if (only !== undefined && !way.what.includes(only)) continue;
    const row = rows.get(way.kind) ?? { kind: way.kind, cases: 0, failed: 0 };
    rows.set(way.kind, row);
    const found = await goOneWay(base, usual, way, tolerance);
    row.cases += 1;
    if (found.length === 0) continue;
    row.failed += 1;
    first ??= { way, found };
  }
  const all = [...rows.values()];
  if (all.length === 0) throw new ConfigurationError(`everyWay: expected a way whose description holds ${show(only)}, found none`);
  if (first !== undefined) {
    const { way, found } = first;
    throw new EveryWayError(describe(`skill '${skill.name}'`, all, way.what, found, seed), all, way.what, found);
  }
  return { undisturbed: outcomeOf(usual), rows: all, cases: all.reduce((sum, { cases }) => sum + cases, 0) };
}

/**
 * Runs a skill for one event as a worker does: decoded, checked by its schema, step by step on a run record, retried by its policy, its events published
 * when it is done, or dead-lettered. In process, without a broker, a store or a network; pauses and time-outs pass in no real time. What the skill itself
 * waits for in real time is waited for, ten seconds at most. Rejects when a call is made that no stub answers, and when the event does not end.
 *
 * `testSkill.everyWay` runs the same case in each way that a run can go: its event sent twice; the worker killed, its thread or an answer lost at each
 * call to the broker, the store and the dependencies; each call failing in each way. Rejects with an `EveryWayError` when the end, a step's result, an
 * emitted event or the set of effects by idempotency key is not what it is without trouble.
 */
export const testSkill: {
  (skill: Skill, options?: TestSkillOptions): Promise<SkillOutcome>;
  /** Runs the same case in each way that a run can go; rejects with an `EveryWayError` when one comes to another end. */
  readonly everyWay: (skill: Skill, options?: EveryWayOptions) => Promise<EveryWayReport>;
} = Object.assign(runOnce, { everyWay });
