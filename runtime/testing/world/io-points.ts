/**
 * Numbers every call that leaves a process, and lets the process, its thread or the answer come to grief at one of them.
 *
 *   before        killed as it makes the call; nothing arrives
 *   after         carried out and answered, then killed before it does anything else
 *   reply-lost    carried out, killed before the answer arrives
 *   unheard       carried out, the answer is lost, the process lives on without knowing
 *   thread-before the thread that calls dies; nothing arrives
 *   thread-after  carried out, the thread dies before the answer arrives
 */
import type { SimClock } from "./sim-clock.ts";

export type Moment = "before" | "after" | "reply-lost" | "unheard" | "thread-before" | "thread-after";

export interface CrashPoint {
  /** Of the call, from 1. */
  readonly number: number;
  readonly moment: Moment;
}

export interface NumberedCall {
  readonly name: string;
  readonly moments: readonly Moment[];
}

/** The process that calls. */
export interface Caller {
  readonly isDead: boolean;
  kill(): void;
  loseThread(): void;
}

const arrivalMoments: readonly Moment[] = ["before", "after"];
const askMoments: readonly Moment[] = ["before", "after", "reply-lost", "unheard"];
const threadMoments: readonly Moment[] = [...askMoments, "thread-before", "thread-after"];

const never = <T>(): Promise<T> => new Promise(() => undefined);

/** A call that fails by itself has an answer, too. */
const settled = (answer: Promise<unknown>): Promise<unknown> => answer.catch(() => undefined);

export class IoPoints {
  readonly calls: NumberedCall[] = [];
  readonly #clock: SimClock;
  readonly #crashes: readonly CrashPoint[];
  /** Nothing is numbered once the scenario is over. */
  isOver = false;

  constructor(clock: SimClock, crashes: readonly CrashPoint[]) {
    this.#clock = clock;
    this.#crashes = crashes;
  }

  /** Something arrives at a process that did not ask. */
  arrive(caller: Caller, name: string, act: () => void): void {
    if (caller.isDead) return;
    switch (this.#momentOf(name, arrivalMoments)) {
      case "before":
        caller.kill();
        return;
      case "after":
        this.#killSoon(caller);
        break;
      default:
    }
    act();
  }

  /** A process asks something; `lost` is what it makes of an answer that does not come. */
  ask<T>(caller: Caller, name: string, act: () => Promise<T>, lost: () => T): Promise<T> {
    return this.#pass(caller, name, askMoments, act, lost);
  }

  /** As `ask`, by a thread. */
  askFromThread<T>(caller: Caller, name: string, act: () => Promise<T>, lost: () => T): Promise<T> {
    return this.#pass(caller, name, threadMoments, act, lost);
  }

  async #pass<T>(caller: Caller, name: string, moments: readonly Moment[], act: () => Promise<T>, lost: () => T): Promise<T> {
    if (caller.isDead) return never();
    const moment = this.#momentOf(name, moments);
    // The run went another way than the one it was planned for: the thread is lost all the same, and the worker's own call goes on.
    if (moment !== undefined && !moments.includes(moment)) {
      caller.loseThread();
      return act();
    }
    switch (moment) {
      case undefined:
        return act();
      case "before":
        caller.kill();
        return never();
      case "thread-before":
        caller.loseThread();
        return never();
      case "after": {
        const answer = act();
        await settled(answer);
        this.#killSoon(caller);
        return answer;
      }
      case "reply-lost":
        await settled(act());
        caller.kill();
        return never();
      case "thread-after":
        await settled(act());
        caller.loseThread();
        return never();
      case "unheard":
        await settled(act());
        return lost();
    }
  }

  #momentOf(name: string, moments: readonly Moment[]): Moment | undefined {
    if (this.isOver) return undefined;
    const number = this.calls.push({ name, moments });
    return this.#crashes.find((crash) => crash.number === number)?.moment;
  }

  /** What the answer leads to at once happens, what it leads to next does not. */
  #killSoon(caller: Caller): void {
    this.#clock.soon(() => caller.kill());
  }
}
