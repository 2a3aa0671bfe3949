/**
 * A bucket of units that fills at an even rate, and may be drawn on in advance (GCRA, seen from the other side): what is taken before it has
 * flowed in makes the level negative, and is usable only once it has. So whoever takes in advance has a place in a queue that no
 * other can overtake, without anybody keeping one.
 */
export interface Bucket {
  /** Units that are there; negative when some were taken in advance. */
  readonly level: number;
  readonly atMs: number;
}

export interface BucketRate {
  readonly perMinute: number;
  /** What it holds when full; more than 0. */
  readonly capacity: number;
}

export interface BucketDraw {
  /** Units without which none are of use; 0 when only something is given back. */
  readonly need: number;
  /** Units that can be used, at least `need`. */
  readonly want: number;
  /** Units that are given back; negative for those that were used without having been taken. */
  readonly back: number;
  /** How long the needed ones may be in coming. */
  readonly waitMaxMs: number;
}

export interface BucketGrant {
  /** Units taken, at least what was needed; 0 when that would not come in time. */
  readonly granted: number;
  /** Units that were there before. Of those taken so many are usable now, and the others as they flow in. */
  readonly level: number;
  /** Until what was needed can be used. */
  readonly afterMs: number;
}

export const minuteMs = 60_000;

/** Draws on a bucket; one that is not known is full. What needs more than it holds can be used when it is full. */
export function drawFrom(
  bucket: Bucket | undefined,
  { perMinute, capacity }: BucketRate,
  { need, want, back, waitMaxMs }: BucketDraw,
  nowMs: number,
): { readonly bucket: Bucket; readonly grant: BucketGrant } {
  const perMs = perMinute / minuteMs;
  const atMs = Math.max(bucket?.atMs ?? nowMs, nowMs);
  const filled = bucket === undefined ? capacity : bucket.level + (atMs - bucket.atMs) * perMs;
  const level = Math.min(capacity, Math.min(capacity, filled) + back);
  const afterMs = Math.max(0, Math.ceil((Math.min(need, capacity) - level) / perMs));
  if (need <= 0 || afterMs > waitMaxMs) return { bucket: { level, atMs }, grant: { granted: 0, level, afterMs } };
  const granted = Math.max(need, Math.min(want, Math.floor(level + waitMaxMs * perMs)));
  return { bucket: { level: level - granted, atMs }, grant: { granted, level, afterMs } };
}

/** How long until a bucket that is left alone is full. */
export function fullAfterMs({ level }: Bucket, { perMinute, capacity }: BucketRate): number {
  return Math.max(0, Math.ceil(((capacity - level) * minuteMs) / perMinute));
}
