/** Holds what came of a case with trouble against what comes of it without. */
import { inspect, isDeepStrictEqual } from "node:util";
import type { MadeCall } from "./stand-in.ts";
import type { CaseReport, EmittedEvent } from "./skill-case.ts";
import type { Way } from "./ways.ts";

/** What the author says of differences that are meant. */
export interface Tolerance {
  /** Outcomes that are right beside the undisturbed one, when there was trouble. */
  readonly mayEnd: readonly CaseReport["outcome"][];
  /** Names of steps whose results are rightly others each time, such as a time or a number by chance. What follows from them is not held against how it goes without trouble. */
  readonly varies: readonly string[];
  /** Dependencies whose calls may fail for good without anything telling of it. */
  readonly mayFail: readonly string[];
}

const shownMax = 160;

function shown(value: unknown): string {
  const text = inspect(value, { depth: 4, breakLength: Number.POSITIVE_INFINITY });
  return text.length > shownMax ? `${text.slice(0, shownMax)}…` : text;
}

function whereOf({ from, step, dependency }: MadeCall): string {
  return `the call of '${dependency}' ${step === undefined ? "outside of steps" : `in step '${step}'`}${from === "" ? "" : ` at ${from}`}`;
}

/** A query asks under a new key at each try. */
const isQuery = ({ idempotencyKey }: MadeCall): boolean => /-query-\d+\.\d+(?:-\d+)?$/.test(idempotencyKey);

const effectsOf = (report: CaseReport): readonly MadeCall[] => report.calls.filter((call) => !call.isRead && !isQuery(call));

/** Each key stands for one request, in whatever execution; where another answer took a step's place, those that follow may ask for something else. */
function* checkKeys(usual: ReadonlyMap<string, MadeCall>, effects: readonly MadeCall[]): Generator<string> {
  const met = new Map(usual);
  for (const effect of effects) {
    const key = `${effect.dependency} ${effect.idempotencyKey}`;
    const before = met.get(key);
    if (before === undefined) met.set(key, effect);
    else if (!isDeepStrictEqual(before.request, effect.request))
      yield `${whereOf(effect)} asks under the same idempotency key for something else than before: ${shown(before.request)}, then ${shown(effect.request)}; make the request from the event and from results of steps alone`;
  }
}

/** What was asked again outside of steps, when its answer had been heard. */
function* checkOutside(effects: readonly MadeCall[]): Generator<string> {
  const met = new Set<string>();
  for (const effect of effects) {
    if (effect.step !== undefined) continue;
    const key = `${effect.dependency} ${effect.idempotencyKey}`;
    if (met.has(key) && effect.attempt === 1)
      yield `${whereOf(effect)} is made again each time the run is resumed; put it into a context.step, or say stub(…, { reads: true }) if it changes nothing`;
    met.add(key);
  }
}

/** With what was carried out of them. */
function* checkEffects(
  usual: ReadonlyMap<string, MadeCall>,
  effects: readonly MadeCall[],
  isSameEnd: boolean,
  { mayFail }: Pick<Tolerance, "mayFail">,
): Generator<string> {
  const made = new Set<string>();
  const happened = new Set<string>();
  for (const effect of effects) {
    const key = `${effect.dependency} ${effect.idempotencyKey}`;
    made.add(key);
    if (effect.carriedOut) happened.add(key);
    if (isSameEnd && !usual.has(key))
      yield `${whereOf(effect)} has an idempotency key that it does not have without trouble, so that its effect happens twice; name the step the same at every execution, and make calls in the same order`;
  }
  if (!isSameEnd) return;
  for (const [key, effect] of usual) {
    if (mayFail.includes(effect.dependency)) continue;
    if (!made.has(key)) yield `${whereOf(effect)} was never made, and the run ended well all the same`;
    else if (effect.carriedOut && !happened.has(key))
      yield `${whereOf(effect)} was made and never carried out, and the run ended well all the same; wait for it, and let its failure be the step's`;
  }
}

/** When it can be received is not compared: a delay counts from when it is emitted. */
const emittedKey = ({ eventType, eventId, payload, entity, correlationId, sessionId, timeToLiveMs, properties }: EmittedEvent): unknown => ({
  eventType,
  eventId,
  payload,
  entity,
  correlationId,
  sessionId,
  timeToLiveMs,
  properties,
});

function* checkEnd(usual: CaseReport, found: CaseReport, way: Way, tolerance: Tolerance): Generator<string> {
  const isParkedRightly = found.outcome === "parked" && way.leavesDoubt && usual.steps.some(({ kind }) => kind === "atMostOnce");
  if (found.outcome !== usual.outcome) {
    if (way.mayChange === "nothing" && !isParkedRightly && !tolerance.mayEnd.includes(found.outcome))
      yield `it ends as ${found.outcome}${found.reason === "" ? "" : ` (${found.reason}: ${found.description})`}, and as ${usual.outcome} without trouble`;
    return;
  }
  if (way.mayChange !== "nothing" || found.steps.some(({ quality }) => quality !== "full")) return;
  for (const { name, result } of usual.steps) {
    if (tolerance.varies.includes(name)) continue;
    const other = found.steps.find((step) => step.name === name);
    if (other !== undefined && !isDeepStrictEqual(other.result, result))
      yield `step '${name}' has the result ${shown(other.result)}, and ${shown(result)} without trouble`;
  }
  if (tolerance.varies.length > 0) return;
  const [was, is] = [usual.emitted.map(emittedKey), found.emitted.map(emittedKey)];
  if (!isDeepStrictEqual(is, was)) yield `it emits ${shown(is)}, and ${shown(was)} without trouble`;
  if (!isDeepStrictEqual(found.sessionState, usual.sessionState))
    yield `it leaves its session ${shown(found.sessionState)}, and ${shown(usual.sessionState)} without trouble`;
}

/** An effect that failed for good, and the end, the steps beside its own, what is emitted and what the session is left are what they are when it did not. */
function* checkNoticed(usual: CaseReport, found: CaseReport, { options: { fault }, mayChange }: Way, { varies, mayFail }: Tolerance): Generator<string> {
  const failed = fault === undefined || mayChange === "nothing" ? undefined : usual.calls[fault.number - 1];
  if (failed === undefined || failed.isRead || isQuery(failed) || mayFail.includes(failed.dependency) || varies.length > 0) return;
  if (usual.outcome !== "completed" || found.outcome !== "completed" || found.steps.some(({ quality }) => quality !== "full")) return;
  const told = (report: CaseReport): unknown => [
    report.steps.filter(({ name }) => name !== failed.step).map(({ name, result }) => [name, result]),
    report.emitted.map(emittedKey),
    report.sessionState,
    report.calls
      .filter(({ carriedOut, idempotencyKey }) => carriedOut && idempotencyKey !== failed.idempotencyKey)
      .map(({ idempotencyKey, request }) => [idempotencyKey, request]),
  ];
  const hasOtherResult = found.steps.some(({ name }) => name === failed.step);
  if (!hasOtherResult && isDeepStrictEqual(told(found), told(usual)))
    yield `${whereOf(failed)} failed for good, and the run ended as if it had not: it completes, and tells the same; let the failure end the run or say it in what the run leaves, or say stub(…, { mayFail: true })`;
}

/** What is wrong with how a case went; empty when nothing is. */
export function differences(usual: CaseReport, found: CaseReport, way: Way, tolerance: Tolerance): string[] {
  const effects = effectsOf(found);
  // Of several tries the one that was carried out counts.
  const usualEffects = effectsOf(usual).toSorted((one, other) => Number(one.carriedOut) - Number(other.carriedOut));
  const known = new Map(usualEffects.map((effect) => [`${effect.dependency} ${effect.idempotencyKey}`, effect]));
  const isSameEnd = found.outcome === usual.outcome && way.mayChange === "nothing" && found.steps.every(({ quality }) => quality === "full");
  const all = [
    ...checkKeys(isSameEnd && tolerance.varies.length === 0 ? known : new Map(), effects),
    ...checkOutside(effects),
    ...checkEffects(known, effects, isSameEnd, tolerance),
    ...checkEnd(usual, found, way, tolerance),
    ...checkNoticed(usual, found, way, tolerance),
  ];
  return [...new Set(all)];
}
