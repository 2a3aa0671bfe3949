// An intake window that is used up, and what runs tell it step by step; its simulation is in intake-simulation.ts.
import { strict as assert } from "node:assert";
import { type IntakeBounds, IntakeWindow, judgeEveryMs } from "#runtime/policy/intake-window.ts";

export const bounds: IntakeBounds = { start: 8, floor: 2, ceiling: 10_000, waitMaxMs: 500, enoughMs: 10 };

/** What threads say: they have begun all that they were given, or not. */
export const dry = (): boolean => true;
export const busy = (): boolean => false;

/** With the time that it is looked at. */
export class Watched {
  readonly window: IntakeWindow;
  nowMs = 0;

  constructor(changes: Partial<IntakeBounds> = {}) {
    this.window = new IntakeWindow({ ...bounds, ...changes });
    this.fill();
  }

  fill(): void {
    while (!this.window.isFull) this.window.took(this.nowMs);
  }

  empty(): void {
    while (this.window.held > 0) this.window.gave(this.nowMs);
  }

  /** So many leave, and as many come in their place. */
  turn(messages: number): void {
    for (let message = 0; message < messages; message += 1) {
      this.window.gave(this.nowMs);
      this.window.took(this.nowMs);
    }
  }

  /** So many runs waited and took so long; returns the size that they lead to. */
  judge(runs: number, waitMs: number, serviceMs: number, isDry: () => boolean = busy): number {
    for (let run = 0; run < runs; run += 1) this.window.ran(this.nowMs, waitMs, serviceMs);
    this.nowMs += judgeEveryMs;
    this.window.room(this.nowMs, isDry);
    this.fill();
    return this.window.size;
  }

  /** As many runs as it is large. */
  whole(waitMs: number, serviceMs: number): number {
    return this.judge(this.window.size, waitMs, serviceMs);
  }
}

/** A window that has once been enough, 50 ms after it began, and knows the least that it takes to claim and to settle. */
export function found(start: number, tripMs: number): Watched {
  const watched = new Watched({ start });
  assert.equal(watched.whole(20, 1), start);
  watched.window.tripped(tripMs, tripMs);
  return watched;
}
