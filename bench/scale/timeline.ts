/** Virtual time: what is to happen, in the order of its moments, and stations where jobs wait for a server. */
import type { Random } from "#runtime/core/clock.ts";

type Act = () => void;

/** A binary heap by moment. */
export class Timeline {
  /** Microseconds since it began. */
  nowMicros = 0;
  readonly #times: number[] = [];
  readonly #acts: Act[] = [];

  after(micros: number, act: Act): void {
    const time = this.nowMicros + micros;
    const [times, acts] = [this.#times, this.#acts];
    let place = times.length;
    times.push(time);
    acts.push(act);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (times[parent]! <= time) break;
      times[place] = times[parent]!;
      acts[place] = acts[parent]!;
      place = parent;
    }
    times[place] = time;
    acts[place] = act;
  }

  /** Lets happen what comes next; false when nothing is left. */
  step(): boolean {
    const act = this.#acts[0];
    if (act === undefined) return false;
    this.nowMicros = this.#times[0]!;
    const [time, last] = [this.#times.pop()!, this.#acts.pop()!];
    if (this.#acts.length > 0) this.#sink(time, last);
    act();
    return true;
  }

  #sink(time: number, act: Act): void {
    const [times, acts] = [this.#times, this.#acts];
    const { length } = times;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= length) break;
      if (child + 1 < length && times[child + 1]! < times[child]!) child += 1;
      if (times[child]! >= time) break;
      times[place] = times[child]!;
      acts[place] = acts[child]!;
      place = child;
    }
    times[place] = time;
    acts[place] = act;
  }
}

interface Job {
  readonly micros: number;
  readonly next: Act;
}

/** First come, first served. */
class Line<Item> {
  #items: Item[] = [];
  #head = 0;

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): Item | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head++];
    if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

/** The processors that stations of one machine share: a job of any of them needs one for its time. */
export class Cores {
  busyMicros = 0;
  readonly count: number;
  #free: number;
  readonly #waiting = new Line<Act>();

  constructor(count: number) {
    this.count = count;
    this.#free = count;
  }

  take(act: Act): void {
    if (this.#free === 0) this.#waiting.push(act);
    else {
      this.#free -= 1;
      act();
    }
  }

  give(micros: number): void {
    this.busyMicros += micros;
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

/** Some servers alike with one line in front of them. */
export class Station {
  /** Of all servers together. */
  busyMicros = 0;
  readonly servers: number;
  readonly #timeline: Timeline;
  readonly #cores: Cores | undefined;
  readonly #waiting = new Line<Job>();
  #free: number;

  constructor(timeline: Timeline, servers: number, cores?: Cores) {
    this.#timeline = timeline;
    this.servers = servers;
    this.#free = servers;
    this.#cores = cores;
  }

  visit(micros: number, next: Act): void {
    const job: Job = { micros, next };
    if (this.#free === 0) this.#waiting.push(job);
    else {
      this.#free -= 1;
      this.#begin(job);
    }
  }

  #begin(job: Job): void {
    if (this.#cores === undefined) this.#timeline.after(job.micros, () => this.#end(job));
    else this.#cores.take(() => this.#timeline.after(job.micros, () => this.#end(job)));
  }

  #end({ micros, next: act }: Job): void {
    this.busyMicros += micros;
    this.#cores?.give(micros);
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else this.#begin(next);
    act();
  }
}

/** Draws of mean 1: the more parts, the less they vary; one part is an exponential distribution, none is always 1. */
export function drawsAroundOne(parts: number, random: Random): () => number {
  if (parts === 0) return () => 1;
  return () => {
    let product = 1;
    for (let part = 0; part < parts; part += 1) product *= 1 - random();
    return -Math.log(product) / parts;
  };
}
