/**
 * Brings the events of dead letters back, one group after the other, each in stages: one letter, then ten, then all at a pace.
 * A stage begins once all of the one before have ended well; the group stops where one fails, and the others go on.
 *
 *   take a letter (lock) → send its replay → complete the letter → … → look what became of it
 *
 * It can end anywhere. A letter whose replay was sent and that was not completed is sent again by the next command: under the
 * same id, with the same order, which the run's record carries out once. So nothing is lost, and nothing runs twice.
 */
import type { Clock } from "../core/clock.ts";
import type { Delivery, OutgoingMessage } from "../core/delivery.ts";
import { ConfigurationError, messageOf, TransportError } from "../core/errors.ts";
import type { HashPayload } from "../core/payload-hash.ts";
import { pause } from "./waiting.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { Letter, Letters } from "./letters.ts";
import { Outcomes } from "./outcomes.ts";
import { makeReplay, replayIdOf, type ReplayWishes } from "./replay-message.ts";
import { take } from "./take.ts";

/** What a replay works on, beside the letters. */
export interface ReplaySurroundings {
  readonly clock: Clock;
  readonly store: RunStore;
  readonly publisher: Publisher;
  /** Where replays are sent: the queue that is read, or the private retry queue of a subscription; never a topic. */
  readonly retryEntity: string;
  readonly consumer: string;
  readonly hashPayload: HashPayload;
}

export interface ReplayOptions extends ReplayWishes {
  /** Replays sent in a second, at most. */
  readonly perSecond: number;
  /** How long a stage's runs may take to end. */
  readonly waitMs: number;
  /** Failures of a group that do not stop it. */
  readonly failuresMax: number;
  readonly signal: AbortSignal;
  /** Whether nothing more is to be sent now; what was sent is watched to its end. Default: never. */
  isOver?(): boolean;
  /** Whether a group has come through its first stages before. Default: none has. */
  isProven?(fingerprint: string): boolean;
  /** What must be done before the replay of a letter is sent; answers why none may be, or nothing. Default: nothing must. */
  readonly prepare?: (letter: Letter) => Promise<string | undefined>;
  /** Hears how a group gets on. */
  progress(report: GroupReport): void;
}

export type GroupState =
  | "replaying"
  /** All of it has been replayed and has ended well. */
  | "done"
  /** The failure that the letters had died of has returned. */
  | "same-failure"
  | "other-failure"
  /** Runs have not ended within the time that was given. */
  | "undecided"
  /** All that could be had has gone well; letters are missing, which another command has locked or taken. */
  | "incomplete"
  | "interrupted";

export interface GroupReport {
  readonly fingerprint: string;
  readonly state: GroupState;
  readonly letters: number;
  /** Sent and taken out of the dead-letter queue. */
  readonly replayed: number;
  readonly completed: number;
  readonly failed: number;
  /** Of the first failure; empty while there is none. */
  readonly why: string;
}

/** Stages before all. */
const canaries = [1, 10];
export const canariesTotal: number = canaries.reduce((sum, size) => sum + size, 0);
/** Letters of the last stage between two looks at what became of them. */
const looksEvery = 200;
const lookPauseMs = 250;

/** The first letter of each event, in their order; further ones of an event follow when all is well, and are duplicates then. */
function ordered(letters: readonly Letter[]): { readonly first: readonly Letter[]; readonly further: readonly Letter[] } {
  const seen = new Set<string>();
  const first: Letter[] = [];
  const further: Letter[] = [];
  for (const letter of letters) {
    (seen.has(letter.eventId) ? further : first).push(letter);
    seen.add(letter.eventId);
  }
  return { first, further };
}

/** Letters of a stage, by its number from 0. */
function stageSize(stage: number): number {
  return canaries[stage] ?? looksEvery;
}

class GroupReplay {
  readonly #letters: Letters;
  readonly #surroundings: ReplaySurroundings;
  readonly #options: ReplayOptions;
  readonly #secret: string;
  readonly #group: readonly Letter[];
  readonly #outcomes: Outcomes;
  /** Letters that did not come when they were wanted. */
  readonly #locked: Letter[] = [];
  /** Letters of which no replay can be made, or none that the broker takes. */
  #unsendable = 0;
  #stage = 0;
  #replayed = 0;
  /** When the next replay may be sent, monotonic. */
  #dueMs = 0;

  constructor(letters: Letters, surroundings: ReplaySurroundings, options: ReplayOptions, secret: string, group: readonly Letter[], outcomes: Outcomes) {
    this.#letters = letters;
    this.#surroundings = surroundings;
    this.#options = options;
    this.#secret = secret;
    this.#group = group;
    this.#outcomes = outcomes;
    if (options.isProven?.(group[0]?.fingerprint ?? "") === true) this.#stage = canaries.length;
  }

  async run(): Promise<GroupReport> {
    const { first, further } = ordered(this.#group);
    // What another command has locked is tried once more at the end, when that may be over.
    for (const letters of [() => first, () => this.#locked.splice(0), () => [...this.#locked.splice(0), ...(this.#replayed > 0 ? further : [])]]) {
      const state = await this.#sendStages([...letters()]);
      if (state !== "done") return this.#report(state);
    }
    return this.#report(this.#replayed + this.#unsendable < this.#group.length ? "incomplete" : "done");
  }

  /** Sends letters in stages, each one after the one before has gone well; letters that do not come are set aside. */
  async #sendStages(letters: readonly Letter[]): Promise<GroupState> {
    let left = letters;
    while (left.length > 0) {
      if (this.#isOver) return "replaying";
      const room = stageSize(this.#stage);
      const sent = await this.#send(left, room);
      left = left.filter((letter) => !sent.has(letter));
      const isShort = sent.size < room;
      const state = await this.#watch(isShort || left.length === 0 || this.#stage < canaries.length || this.#isOver);
      if (state !== "done") return state;
      if (isShort) {
        if (this.#isOver && left.length > 0) return "replaying";
        this.#locked.push(...left);
        return "done";
      }
      this.#stage += 1;
      this.#options.progress(this.#report("replaying"));
    }
    return "done";
  }

  /** Sends as many of these letters as there is room for, those that come first; answers which. */
  async #send(letters: readonly Letter[], room: number): Promise<ReadonlySet<Letter>> {
    const boxes = new Map<DeadLetterBox, Map<bigint, Letter>>();
    for (const letter of letters) {
      const known = boxes.get(letter.box) ?? new Map<bigint, Letter>();
      boxes.set(letter.box, known.set(letter.sequenceNumber, letter));
    }
    const { clock } = this.#surroundings;
    const { signal } = this.#options;
    const sent = new Set<Letter>();
    const isEnough = (): boolean => sent.size >= room || this.#isOver;
    for (const [box, numbered] of boxes) {
      if (isEnough()) break;
      const handle = async (delivery: Delivery): Promise<boolean> => {
        const letter = numbered.get(delivery.sequenceNumber);
        const result = letter === undefined ? "not-sent" : await this.#sendOne(delivery, letter);
        if (letter !== undefined && result !== "not-sent") sent.add(letter);
        return result === "sent";
      };
      await take(box, new Set(numbered.keys()), { clock, signal, handle, isEnough });
    }
    return sent;
  }

  /** Sent first, completed after: what ends between the two is sent once more, under the same id. */
  async #sendOne(delivery: Delivery, letter: Letter): Promise<"sent" | "not-sent" | "unsendable"> {
    const { clock, publisher, retryEntity } = this.#surroundings;
    const { perSecond, signal, prepare } = this.#options;
    if (signal.aborted) return "not-sent";
    await pause(clock, this.#dueMs - clock.monotonicMs(), signal);
    if (signal.aborted) return "not-sent";
    this.#dueMs = Math.max(this.#dueMs, clock.monotonicMs()) + 1_000 / perSecond;
    const replayId = replayIdOf(this.#secret, delivery);
    const refuse = (why: string): "unsendable" => {
      this.#unsendable += 1;
      this.#outcomes.refused({ letter, replayId }, why);
      return "unsendable";
    };
    const refusal = await prepare?.(letter);
    if (refusal !== undefined) return refuse(refusal);
    try {
      await publisher.send(retryEntity, [await this.#make(delivery)]);
    } catch (error) {
      if (!isOfTheLetter(error)) throw error;
      return refuse(messageOf(error, 300));
    }
    this.#outcomes.add({ letter, replayId });
    this.#replayed += 1;
    return "sent";
  }

  #make(delivery: Delivery): Promise<OutgoingMessage> {
    const { hashPayload } = this.#surroundings;
    const { from, repeatsInDoubt, reason, who, patch } = this.#options;
    const making = { secret: this.#secret, hashPayload, readRoute: (one: Delivery) => this.#letters.readRoute(one), from, repeatsInDoubt, reason, who, patch };
    return makeReplay(making, delivery);
  }

  get #isOver(): boolean {
    return this.#options.isOver?.() === true;
  }

  /** Looks what became of all that was sent, until it has ended, or once where more may be sent meanwhile. */
  async #watch(untilEnded: boolean): Promise<GroupState> {
    const { clock } = this.#surroundings;
    const { signal, waitMs, failuresMax } = this.#options;
    const untilMs = clock.monotonicMs() + waitMs;
    for (;;) {
      await this.#outcomes.look();
      const { failures, pending } = this.#outcomes;
      if (failures.length > failuresMax) return failures.some(({ outcome }) => outcome.isSame) ? "same-failure" : "other-failure";
      if (signal.aborted) return "interrupted";
      if (!untilEnded || pending === 0) return "done";
      if (clock.monotonicMs() >= untilMs) return "undecided";
      await pause(clock, lookPauseMs, signal);
    }
  }

  #report(state: GroupState): GroupReport {
    const { completed, failures } = this.#outcomes;
    return {
      fingerprint: this.#group[0]?.fingerprint ?? "",
      state,
      letters: this.#group.length,
      replayed: this.#replayed,
      completed,
      failed: failures.length,
      why: failures[0]?.outcome.why ?? "",
    };
  }
}

/** Whether another letter may fare better: a payload that cannot be edited, a message that the broker never takes. */
function isOfTheLetter(error: unknown): boolean {
  return error instanceof ConfigurationError || (error instanceof TransportError && error.isPermanent);
}

/** Replays groups of letters that lie in their boxes, each as far as it goes well. */
export async function replayGroups(
  letters: Letters,
  groups: readonly (readonly Letter[])[],
  surroundings: ReplaySurroundings,
  options: ReplayOptions,
): Promise<readonly GroupReport[]> {
  const secret = await surroundings.store.secret();
  const next = new Map<string, bigint>();
  for (const { box, sequenceNumber } of groups.flat()) {
    const known = next.get(box.name) ?? 0n;
    if (sequenceNumber >= known) next.set(box.name, sequenceNumber + 1n);
  }
  const reports: GroupReport[] = [];
  for (const group of groups) {
    if (options.signal.aborted || options.isOver?.() === true) break;
    const outcomes = new Outcomes(letters, surroundings.store, next);
    const report = await new GroupReplay(letters, surroundings, options, secret, group, outcomes).run();
    options.progress(report);
    reports.push(report);
  }
  return reports;
}
