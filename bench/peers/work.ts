/** The handlers that are measured, each as the messages that ask for it. */
import type { PlainOptions } from "#load/generator/plain.ts";
import { roundsFor } from "./handlers.ts";
import type { ContenderKey, ShapeName } from "./names.ts";

export interface Shape {
  readonly name: ShapeName;
  readonly title: string;
  readonly eventTypes: Readonly<Record<string, number>>;
  /** CPU that a run takes. */
  readonly cpuMicros?: number;
  readonly poison?: number;
  /** What it needs of its own, in milliseconds: bounds what a contender can do. */
  readonly takesMs: number;
  readonly threads: number;
}

export const shapes: readonly Shape[] = [
  { name: "no-op", title: "does nothing", eventTypes: { nothing: 1 }, takesMs: 0, threads: 1 },
  { name: "async-1ms", title: "waits for 1 ms", eventTypes: { wait: 1 }, takesMs: 1, threads: 1 },
  { name: "cpu-100us", title: "100 µs of CPU", eventTypes: { spin: 1 }, cpuMicros: 100, takesMs: 0.1, threads: 2 },
  { name: "cpu-1ms", title: "1 ms of CPU", eventTypes: { spin: 1 }, cpuMicros: 1_000, takesMs: 1, threads: 2 },
  { name: "steps", title: "four steps with checkpoints", eventTypes: { steps: 1 }, takesMs: 0, threads: 1 },
  { name: "three-steps", title: "three idempotent steps", eventTypes: { three: 1 }, takesMs: 0, threads: 1 },
  { name: "mixed", title: "10 % fail at first, 1 % poison", eventTypes: { nothing: 90, fails: 10 }, poison: 0.01, takesMs: 0, threads: 1 },
];

const bodyBytes = 256;

export function messagesOf({ eventTypes, cpuMicros, poison = 0 }: Shape, events: number): Omit<PlainOptions, "idPrefix"> {
  return {
    events,
    eventTypes,
    poison,
    sizes: { kind: "fixed", bytes: bodyBytes },
    ...(cpuMicros === undefined ? undefined : { content: { rounds: roundsFor(cpuMicros) } }),
  };
}

/** About what each manages of a no-op, and runs at once: a turn of the slow must not take minutes, nor one of the quick a blink. */
const rough: Readonly<Record<ContenderKey, { readonly perSecond: number; readonly atOnce: number }>> = {
  holdfast: { perSecond: 30_000, atOnce: 1_000 },
  "holdfast-sqlite": { perSecond: 30_000, atOnce: 1_000 },
  subscribe: { perSecond: 2_500, atOnce: 1 },
  "subscribe-200": { perSecond: 12_000, atOnce: 200 },
  "receive-messages": { perSecond: 18_000, atOnce: 500 },
  bullmq: { perSecond: 6_000, atOnce: 100 },
  "bullmq-sandboxed": { perSecond: 1_500, atOnce: 2 },
  "bare-sdk": { perSecond: 25_000, atOnce: 500 },
  "bare-rhea": { perSecond: 35_000, atOnce: 500 },
};
const eventsMin = 300;
const stepsCost = 6;

/** Events that keep a contender busy for about so long. */
export function eventsFor(key: ContenderKey, { name, takesMs, cpuMicros, threads }: Shape, seconds: number): number {
  const { perSecond, atOnce } = rough[key];
  const parallel = cpuMicros === undefined ? atOnce : key.startsWith("holdfast") || key === "bullmq-sandboxed" ? threads : 1;
  const bound = takesMs === 0 ? Infinity : (1_000 / takesMs) * parallel * 0.7;
  const hasSteps = (name === "steps" || name === "three-steps") && key !== "bare-sdk";
  const able = Math.min(hasSteps ? perSecond / stepsCost : perSecond, bound);
  return Math.max(eventsMin, Math.round(able * seconds));
}
