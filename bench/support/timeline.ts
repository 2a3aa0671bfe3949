/** What ended when, and how soon it was as before. */
import type { Ended } from "#load/generator/drive.ts";

const binMs = 250;
const spanMs = 500;
const stepMs = 50;
/** Four fifths of the earlier rate count as back. */
const backShare = 0.8;

/** A value for each quarter of a second, at its place in seconds. */
export function binned(
  ended: readonly Ended[],
  startMs: number,
  endMs: number,
  valueOf: (count: number, binMs: number, fromMs: number) => number,
): readonly (readonly [seconds: number, value: number])[] {
  const counts = Array.from({ length: Math.max(0, Math.floor((endMs - startMs) / binMs)) }, () => 0);
  for (const { atMs } of ended) {
    const bin = Math.floor((atMs - startMs) / binMs);
    if (bin >= 0 && bin < counts.length) counts[bin]! += 1;
  }
  return counts.map((count, bin) => [(bin * binMs) / 1_000, valueOf(count, binMs, startMs + bin * binMs)] as const);
}

/** From `sinceMs` until the first half second in which as many end as in the time before, nearly; undefined when there is none. */
export function recoveredAfterMs(ended: readonly Ended[], before: { readonly fromMs: number; readonly toMs: number }, sinceMs: number): number | undefined {
  const times = ended.map(({ atMs }) => atMs).toSorted((a, b) => a - b);
  const between = (fromMs: number, toMs: number): number => times.filter((atMs) => atMs >= fromMs && atMs < toMs).length;
  const wanted = (backShare * between(before.fromMs, before.toMs) * spanMs) / (before.toMs - before.fromMs);
  const lastMs = times.at(-1) ?? 0;
  for (let atMs = sinceMs; atMs + spanMs <= lastMs; atMs += stepMs) if (between(atMs, atMs + spanMs) >= wanted) return atMs - sinceMs;
  return undefined;
}
