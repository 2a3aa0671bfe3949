/** Where in a stream its events, their duplicates and the bad messages among them come; what each holds is for a maker. */
import { type Draw, drawsOf } from "./draw.ts";

export interface Places {
  /** Events that are good and new; duplicates and poison come on top. */
  readonly events: number;
  /** Duplicates for each event, on average; 0 to 0.9, default 0. */
  readonly duplicates?: number;
  /** Poisoned messages for each event, on average; 0 to 1, default 0. */
  readonly poison?: number;
  /** A whole number; the same seed makes the same stream, and its hexadecimal form is in every event id. Default 1. */
  readonly seed?: number;
}

export interface Maker<Message> {
  /** The event at a place; `copy` 0 is its first message, 1 and on are its duplicates. */
  event(index: number, copy: number): Message;
  /** The `number`th poisoned message, at a place of the stream. */
  poison(index: number, number: number): Message;
}

/** What is drawn for a place; makers draw others. */
const draws = { duplicate: 7, distance: 8, poison: 9 } as const;

/** Most events between an event and its duplicate. */
const duplicateDistanceMax = 2_000;
/** A duplicate is followed by another with this probability, so that some events come three times and more. */
const againProbability = 0.1;
const copiesMax = 5;

function checkRate(name: string, value: number, max: number): void {
  if (!(value >= 0 && value <= max)) throw new RangeError(`expected ${name} to be from 0 to ${max}, got ${value}`);
}

export function checkPlaces({ events, duplicates = 0, poison = 0, seed = 1 }: Places): void {
  if (!Number.isSafeInteger(events) || events < 0) throw new RangeError(`expected events to be a whole number of 0 or more, got ${events}`);
  if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError(`expected seed to be a whole number of 0 or more, got ${seed}`);
  checkRate("duplicates", duplicates, 0.9);
  checkRate("poison", poison, 1);
}

/** How many events later the given duplicate comes, or undefined when there is none. */
function duplicateAfter(draw: Draw, index: number, copy: number, rate: number): number | undefined {
  if (copy > copiesMax) return undefined;
  const probability = copy === 1 ? rate * (1 - againProbability) : againProbability;
  if (draw(index, draws.duplicate + copy * 100) >= probability) return undefined;
  // As many near as far: some while the first is at work, some long after it is done.
  return Math.floor(duplicateDistanceMax ** draw(index, draws.distance + copy * 100));
}

interface DueDuplicate {
  readonly index: number;
  readonly copy: number;
}

/** Everything in its order, made as it is read. */
export function* placed<Message>(maker: Maker<Message>, { events, duplicates = 0, poison = 0, seed = 1 }: Places): Generator<Message> {
  const draw = drawsOf(seed);
  /** Duplicates by the place after which they come; none lies further ahead than the largest distance. */
  const due = new Map<number, DueDuplicate[]>();
  let poisoned = 0;
  const plan = (index: number, copy: number, from: number): void => {
    const after = duplicateAfter(draw, index, copy, duplicates);
    if (after === undefined) return;
    const place = from + after - 1;
    const others = due.get(place);
    if (others === undefined) due.set(place, [{ index, copy }]);
    else others.push({ index, copy });
  };
  for (let place = 0; place < events || due.size > 0; place++) {
    if (place < events) {
      yield maker.event(place, 0);
      if (duplicates > 0) plan(place, 1, place);
    }
    for (const { index, copy } of due.get(place) ?? []) {
      yield maker.event(index, copy);
      plan(index, copy + 1, place + 1);
    }
    due.delete(place);
    if (place < events && poison > 0 && draw(place, draws.poison) < poison) yield maker.poison(place, poisoned++);
  }
}
