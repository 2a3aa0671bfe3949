/** The work that every contender does, by event type. What differs between contenders is what a step and a call are. */
import { setTimeout as pause } from "node:timers/promises";
import { NoteWriter } from "../support/notes.ts";
import { plantedAt } from "../support/plant.ts";

export interface Payload {
  /** Of `spin`: rounds of arithmetic. */
  readonly rounds?: number;
  /** Of `hold`. */
  readonly waitMs?: number;
}

export interface Work {
  /** Of the event, in the stream that was sent. */
  readonly place: number;
  readonly eventId: string;
  /** 1 for the first. */
  readonly attempt: number;
  readonly payload: Payload;
}

export interface Tools {
  /** Does a part of the work so that it is not done again when the run is. */
  readonly step: (name: string, effect: () => unknown) => Promise<void>;
  /** Calls one of two HTTP dependencies, under a key of the event. */
  readonly call: (dependency: DependencyName) => Promise<void>;
}

export type DependencyName = "sound" | "troubled";
export const dependencyNames: readonly DependencyName[] = ["sound", "troubled"];

/** Fails at every attempt: no other will help. */
export class PlantedFailure extends Error {
  override readonly name = "PlantedFailure";
}

/** Fails at its first attempt alone. */
export class FirstFailure extends Error {
  override readonly name = "FirstFailure";
}

export type Handler = (work: Work, tools: Tools) => Promise<void> | void;

let sink = 0;

/** Arithmetic that no compiler takes out; see `dispatch/plugin.ts` for why these operations. */
export function spin(rounds: number): void {
  let value = 1;
  for (let round = 0; round < rounds; round += 1) {
    value ^= value << 13;
    value ^= value >>> 17;
    value ^= value << 5;
  }
  sink ^= value;
}

/** By the clock, not by the CPU that the system counts: it counts by the tick of some milliseconds, and a trial may seem to cost half of what it does. */
const trialRounds = 200_000;
const trialsMin = 200;
/** A round is a few cycles once the optimizing compiler has been at it, and takes ten times as long before: on a busy machine that is late. */
const compiledNanos = 8;
const compilingMaxMs = 5_000;
let nanosPerRound: number | undefined;

/** Rounds that take so many microseconds of CPU on this machine; for all contenders of a process the same ones. */
export function roundsFor(micros: number): number {
  nanosPerRound ??= measuredNanos();
  return Math.max(1, Math.round((micros * 1_000) / nanosPerRound));
}

/** The least of many short trials, for the machine is shared: one of them had its core to itself. */
function measuredNanos(): number {
  const endMs = performance.now() + compilingMaxMs;
  let least = Infinity;
  for (let trial = 0; trial < trialsMin || (least > compiledNanos && performance.now() < endMs); trial += 1) {
    const beforeMs = performance.now();
    spin(trialRounds);
    least = Math.min(least, ((performance.now() - beforeMs) * 1_000_000) / trialRounds);
  }
  return least;
}

let notes: NoteWriter | undefined;

function note(place: number): void {
  notes ??= new NoteWriter(process.env["HOLDFAST_BENCH_NOTES"]!, process.env["HOLDFAST_BENCH_NOTES_AT_ONCE"] !== undefined);
  const fault = plantedAt(place);
  if (fault === "lost") return;
  if (fault === "wrong") throw new PlantedFailure("planted");
  notes.note(place);
  if (fault === "twice") notes.note(place);
}

export const stepNames: readonly string[] = ["one", "two", "three", "four"];

/** By event type. */
export const handlers = {
  nothing: ({ place }) => note(place),
  async wait({ place }) {
    await pause(1);
    note(place);
  },
  async hold({ place, payload }) {
    await pause(payload.waitMs);
    note(place);
  },
  spin({ place, payload }) {
    spin(payload.rounds ?? 0);
    note(place);
  },
  async steps({ place }, { step }) {
    for (const name of stepNames) await step(name, () => undefined);
    note(place);
  },
  async three({ place }, { step }) {
    for (const name of stepNames.slice(0, 3)) await step(name, () => undefined);
    note(place);
  },
  fails({ place, attempt }) {
    if (attempt === 1) throw new FirstFailure("fails at first");
    note(place);
  },
  async sound({ place }, { call }) {
    await call("sound");
    note(place);
  },
  async troubled({ place }, { call }) {
    await call("troubled");
    note(place);
  },
} as const satisfies Readonly<Record<string, Handler>>;

export type EventType = keyof typeof handlers;

export function handlerOf(eventType: string): Handler {
  const known = new Map<string, Handler>(Object.entries(handlers));
  const handler = known.get(eventType);
  if (handler === undefined) throw new Error(`expected an event type out of ${[...known.keys()].join(", ")}, found ${eventType}`);
  return handler;
}
