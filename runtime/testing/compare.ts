/** Holds what came of a case with trouble against what comes of it without. */
import { inspect, isDeepStrictEqual } from "node:util";
import type { MadeCall } from "./stand-in.ts";
import type { CaseReport, EmittedEvent } from "./skill-case.ts";
import type { Way } from "./ways.ts";

/** What the author says of differences that are meant. */
export interface Tolerance {
  /** Outcomes that are right beside the undisturbed one, when there was trouble. */
  readonly mayEnd: readonly CaseReport["outcome"][];
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

function* checkEffects(usual: ReadonlyMap<string, MadeCall>, effects: readonly MadeCall[], isSameEnd: boolean): Generator<string> {
  const happened = new Set<string>();
  for (const effect of effects) {
    const key = `${effect.dependency} ${effect.idempotencyKey}`;
    happened.add(key);
    if (isSameEnd && !usual.has(key))
      yield `${whereOf(effect)} has an idempotency key that it does not have without trouble, so that its effect happens twice; name the step the same at every execution, and make calls in the same order`;
  }
  if (!isSameEnd) return;
  for (const [key, effect] of usual) if (!happened.has(key)) yield `${whereOf(effect)} was never made, and the run ended well all the same`;
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
    const other = found.steps.find((step) => step.name === name);
    if (other !== undefined && !isDeepStrictEqual(other.result, result))
      yield `step '${name}' has the result ${shown(other.result)}, and ${shown(result)} without trouble`;
  }
  const [was, is] = [usual.emitted.map(emittedKey), found.emitted.map(emittedKey)];
  if (!isDeepStrictEqual(is, was)) yield `it emits ${shown(is)}, and ${shown(was)} without trouble`;
  if (!isDeepStrictEqual(found.sessionState, usual.sessionState))
    yield `it leaves its session ${shown(found.sessionState)}, and ${shown(usual.sessionState)} without trouble`;
}

/** What is wrong with how a case went; empty when nothing is. */
export function differences(usual: CaseReport, found: CaseReport, way: Way, tolerance: Tolerance): string[] {
  const effects = effectsOf(found);
  const known = new Map(effectsOf(usual).map((effect) => [`${effect.dependency} ${effect.idempotencyKey}`, effect]));
  const isSameEnd = found.outcome === usual.outcome && way.mayChange === "nothing" && found.steps.every(({ quality }) => quality === "full");
  const all = [
    ...checkKeys(isSameEnd ? known : new Map(), effects),
    ...checkOutside(effects),
    ...checkEffects(known, effects, isSameEnd),
    ...checkEnd(usual, found, way, tolerance),
  ];
  return [...new Set(all)];
}
