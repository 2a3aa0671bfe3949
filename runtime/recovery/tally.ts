/**
 * Has failures counted by the whole pool, many in one question while another is on its way. Where nobody answers, what this worker has
 * counted alone decides, and that is said.
 */
import { messageOf } from "../core/errors.ts";
import type { Counted, Reached } from "../policy/escalation.ts";
import type { CountAnswer, CountAsk, SharedCounts } from "../ports/shared-counts.ts";

/** One rule's count of a failure, and what this worker would do alone. */
export interface CountedHere {
  readonly counted: Counted;
  readonly reached: Reached | undefined;
}

export interface TallyOptions<Heard extends { readonly failure: string }> {
  readonly counts: SharedCounts | undefined;
  readonly perHourMax: number;
  escalate(heard: Heard, reached: readonly Reached[]): Promise<unknown> | undefined;
  changed(by: "worker" | "pool", error: string): void;
}

interface Waiting<Heard> {
  readonly heard: Heard;
  readonly here: readonly CountedHere[];
  readonly answered: PromiseWithResolvers<unknown>;
}

/** Failures that are counted in one question, and those that may wait for it; what is more is counted here alone. */
const askedMax = 100;
const waitingMax = 2_000;

export class Tally<Heard extends { readonly failure: string }> {
  readonly #options: TallyOptions<Heard>;
  #waiting: Waiting<Heard>[] = [];
  #asking: Promise<void> | undefined;
  #isAlone = false;

  constructor(options: TallyOptions<Heard>) {
    this.#options = options;
  }

  /** Resolves when what comes of it is in the queue. */
  ask(heard: Heard, here: readonly CountedHere[]): Promise<unknown> | undefined {
    const { counts } = this.#options;
    if (counts === undefined || this.#waiting.length >= waitingMax) return this.#options.escalate(heard, alone(here));
    const answered = Promise.withResolvers<unknown>();
    this.#waiting.push({ heard, here, answered });
    this.#asking ??= this.#askAll(counts).finally(() => {
      this.#asking = undefined;
    });
    return answered.promise;
  }

  /** What waits is answered. */
  async stop(): Promise<void> {
    await this.#asking;
    await this.#options.counts?.stop();
  }

  async #askAll(counts: SharedCounts): Promise<void> {
    for (let batch = this.#waiting.splice(0, askedMax); batch.length > 0; batch = this.#waiting.splice(0, askedMax)) {
      const asks = batch.flatMap(({ heard, here }) => here.map(({ counted }) => askOf(heard.failure, counted)));
      let answers: readonly CountAnswer[] | undefined;
      try {
        answers = await counts.count(asks, this.#options.perHourMax);
        this.#note(false, "");
      } catch (error) {
        this.#note(true, messageOf(error, 200));
      }
      let at = 0;
      for (const { heard, here, answered } of batch) {
        const own = answers?.slice(at, (at += here.length));
        answered.resolve(this.#options.escalate(heard, own === undefined ? alone(here) : together(here, own)));
      }
    }
  }

  #note(isAlone: boolean, error: string): void {
    if (isAlone === this.#isAlone) return;
    this.#isAlone = isAlone;
    this.#options.changed(isAlone ? "worker" : "pool", error);
  }
}

function askOf(failure: string, { rule, counted, needed }: Counted): CountAsk {
  const { count: kept, windowMs } = rule.threshold;
  return { key: `${rule.name}/${counted}`, failure, needed, kept, windowMs, repeatAfterMs: rule.repeatAfterMs };
}

function alone(here: readonly CountedHere[]): readonly Reached[] {
  return here.flatMap(({ reached }) => reached ?? []);
}

function together(here: readonly CountedHere[], answers: readonly CountAnswer[]): readonly Reached[] {
  return here.flatMap(({ counted: { rule, counted, critical } }, index) => {
    const { due = "few", count = 0, sinceLast = 0 } = answers[index] ?? {};
    return due === "few" ? [] : [{ rule, counted, critical, count, sinceLast, due }];
  });
}
