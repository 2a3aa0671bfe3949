/** What the admin API looks at of one source, on connections that stay open while they are of use. */
import { Problem } from "../admin/problem.ts";
import { composeLetters, composeQueues } from "../compose/dead-letters.ts";
import { composeRunRecords, composeRunStore } from "../compose/store.ts";
import type { Config } from "../core/config.ts";
import { messageOf } from "../core/errors.ts";
import type { RunKind } from "../core/run.ts";
import type { Tenants } from "../core/tenants.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import type { Letters } from "../recovery/letters.ts";
import { kindsOf } from "./runs-records.ts";

/** Messages of each queue, and of each place of dead letters, that are looked at for one event. */
export const messagesPeekedMax = 10_000;

type Records = ReturnType<typeof composeRunRecords>;
type Store = ReturnType<typeof composeRunStore>;

/** Whatever is in use around it is closed, too: it is not told here which of them has failed. */
class Unavailable extends Problem {
  constructor(error: unknown) {
    super("unavailable", messageOf(error, 300), {}, 5);
  }
}

/** Opened when it is first needed; closed after a failure, so that the next call finds it again. */
export class Opened<Thing> {
  readonly #open: () => Promise<Thing>;
  readonly #close: (thing: Thing) => Promise<void>;
  #thing: Promise<Thing> | undefined;

  constructor(open: () => Promise<Thing>, close: (thing: Thing) => Promise<void>) {
    this.#open = open;
    this.#close = close;
  }

  async use<Result>(work: (thing: Thing) => Promise<Result>): Promise<Result> {
    this.#thing ??= this.#open();
    const opened = this.#thing;
    try {
      return await work(await opened);
    } catch (error) {
      // Nothing is wrong with what was opened, and others may be at it.
      if (error instanceof Problem && !(error instanceof Unavailable)) throw error;
      if (this.#thing === opened) await this.close();
      throw error instanceof Unavailable ? error : new Unavailable(error);
    }
  }

  async close(): Promise<void> {
    const thing = this.#thing;
    this.#thing = undefined;
    await thing?.then(this.#close).catch(() => undefined);
  }
}

const waitingMax = 20;

/** Lets one look at a time go through all messages, or records; a few wait for their turn, and of more each is refused. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #asked = 0;

  async take<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#asked > waitingMax) throw new Problem("too-many", `expected at most ${waitingMax} callers who wait for a look at the messages; try again`, {}, 5);
    this.#asked += 1;
    const turn = this.#last.then(work);
    // What was found is not kept here.
    this.#last = turn.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await turn;
    } finally {
      this.#asked -= 1;
    }
  }
}

/** One source of the worker, with what is opened of it. */
export interface Place {
  readonly directory: string;
  readonly config: Config;
  readonly records: Opened<{ readonly store: Store; readonly records: Records; readonly kinds: ReadonlyMap<string, RunKind> }>;
  readonly letters: Opened<Letters>;
  readonly queues: Opened<readonly DeadLetterBox[]>;
  /** For those who act for some tenants, of whom there are many, and for all others, who do not wait for them. */
  readonly turns: { readonly tenants: Turns; readonly operators: Turns };
}

/** Goes through records or messages of the place while nobody else of the caller's kind does. */
export function inTurn<Result>({ turns }: Pick<Place, "turns">, tenants: Tenants, work: () => Promise<Result>): Promise<Result> {
  return (tenants === undefined ? turns.operators : turns.tenants).take(work);
}

async function stopAll(boxes: readonly DeadLetterBox[]): Promise<void> {
  for (const box of boxes) await box.stop();
}

export function placeOf(config: Config, directory: string): Place {
  const openRecords = async (): Promise<{ store: Store; records: Records; kinds: ReadonlyMap<string, RunKind> }> => {
    const store = composeRunStore(config, directory);
    const records = composeRunRecords(config, directory);
    try {
      await store.start();
      await records.start();
      return { store, records, kinds: await kindsOf(records) };
    } catch (error) {
      await Promise.allSettled([records.stop(), store.stop()]);
      throw error;
    }
  };
  const openLetters = async (): Promise<Letters> => {
    const letters = await composeLetters(config, config.recovery.sweeps.forwardedTo);
    try {
      for (const box of letters.boxes) await box.start();
    } catch (error) {
      // What has started would stay open, once more with each call.
      await stopAll(letters.boxes).catch(() => undefined);
      throw error;
    }
    return letters;
  };
  return {
    directory,
    config,
    records: new Opened(openRecords, async ({ store, records }) => {
      await records.stop();
      await store.stop();
    }),
    letters: new Opened(openLetters, ({ boxes }) => stopAll(boxes)),
    queues: new Opened(() => composeQueues(config), stopAll),
    turns: { tenants: new Turns(), operators: new Turns() },
  };
}
