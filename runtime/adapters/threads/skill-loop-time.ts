import { noFraction } from "../../core/fractions.ts";
/**
 * Which skills' code holds the event loops of threads, and for how long: what tells work that computes from work that waits. When a run
 * says something (it has begun, wants a step recorded, or has ended), its thread counts for the run's skill for how long the loop was not idle
 * since anything was counted last. Code that ends otherwise, such as at a call of a dependency, counts for the run that says something
 * next; over many runs that is mostly one of the same skill.
 */

/** How long its loop has been idle since the thread began. */
const idleMs = (): number => performance.nodeTiming.idleTime;
/** Less is not worth asking how long the loop was idle: that much is taken for work. */
const askedFromMs = 0.5;
const perMs = 1_000;

/** Memory for the sums of so many skills: an Int32 of microseconds for each, wrapping. */
export function skillLoopTimeBytes(skills: number): number {
  return Math.max(1, skills) * Int32Array.BYTES_PER_ELEMENT;
}

/** Counts, in a thread. */
export class SkillLoopTimeCounter {
  readonly #sums: Int32Array;
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #nowMs: () => number;
  readonly #idleMs: () => number;
  /** Undefined before the first run: what a thread does until then is nobody's. */
  #sinceMs: number | undefined;
  #idleBeforeMs = noFraction;

  /** `skills`: in the order that all threads have them in. */
  constructor(sums: SharedArrayBuffer, skills: readonly string[], nowMs: () => number, idle: () => number = idleMs) {
    this.#sums = new Int32Array(sums);
    this.#numbers = new Map(skills.map((skill, number) => [skill, number]));
    this.#nowMs = nowMs;
    this.#idleMs = idle;
  }

  /** Code of a run of this skill has held the loop until now. */
  held(skill: string): void {
    const nowMs = this.#nowMs();
    if (this.#sinceMs === undefined) this.#idleBeforeMs = this.#idleMs();
    let heldMs = nowMs - (this.#sinceMs ?? nowMs);
    this.#sinceMs = nowMs;
    if (heldMs >= askedFromMs) {
      const idleNowMs = this.#idleMs();
      heldMs = Math.max(0, heldMs - (idleNowMs - this.#idleBeforeMs));
      this.#idleBeforeMs = idleNowMs;
    }
    const number = this.#numbers.get(skill);
    if (number !== undefined) Atomics.add(this.#sums, number, Math.round(heldMs * perMs));
  }
}

/** Reads what all threads have counted; often enough that no sum comes round meanwhile, which takes half an hour of one thread. */
export class SkillLoopTimeReader {
  readonly buffer: SharedArrayBuffer;
  readonly #sums: Int32Array;
  readonly #read: Int32Array;
  readonly #heldMs: Float64Array;
  readonly #numbers: ReadonlyMap<string, number>;

  constructor(skills: readonly string[]) {
    this.buffer = new SharedArrayBuffer(skillLoopTimeBytes(skills.length));
    this.#sums = new Int32Array(this.buffer);
    this.#read = new Int32Array(this.#sums.length);
    this.#heldMs = new Float64Array(this.#sums.length);
    this.#numbers = new Map(skills.map((skill, number) => [skill, number]));
  }

  /** How long code of the skill's runs has held loops since the start, over all threads. */
  heldMs(skill: string): number {
    const number = this.#numbers.get(skill);
    if (number === undefined) return 0;
    const sum = Atomics.load(this.#sums, number);
    const before = this.#read[number] ?? 0;
    this.#read[number] = sum;
    const heldMs = (this.#heldMs[number] ?? 0) + ((sum - before) | 0) / perMs;
    this.#heldMs[number] = heldMs;
    return heldMs;
  }
}
