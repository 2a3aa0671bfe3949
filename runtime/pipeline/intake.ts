/**
 * What a worker holds of each skill's messages, how much more of them it takes, and how many of its runs are under way at once:
 * an intake window for each skill of each source, slots for each skill, and one budget of bytes for all.
 */
import type { Clock } from "../core/clock.ts";
import type { SkillPolicy } from "../core/skill.ts";
import type { Admission } from "../policy/admission.ts";
import { ArrivalMix } from "../policy/arrival-mix.ts";
import type { PauseBounds } from "../policy/backoff.ts";
import { ByteBudget } from "../policy/byte-budget.ts";
import { IncomingBytes } from "../policy/incoming-bytes.ts";
import { type IntakeBounds, IntakeWindow } from "../policy/intake-window.ts";
import { LatencyWatch } from "../policy/latency-watch.ts";
import { MainLoopHeadroom } from "../policy/main-loop-headroom.ts";
import { EndRate, ReturnTimes } from "../policy/return-times.ts";
import { type SkillIntake, SkillSlots } from "../policy/skill-slots.ts";
import type { Executor } from "../ports/executor.ts";
import { ofSource, type Source } from "./source.ts";
import type { Work } from "./work.ts";

export interface IntakeOptions {
  readonly clock: Clock;
  readonly executor: Pick<Executor, "unbegun" | "heldMs">;
  readonly admission: Pick<Admission<Work>, "isWaitedFor" | "atOnce">;
  readonly sources: readonly Source[];
  readonly threads: number;
  /** Bounds of each window. */
  readonly intake: IntakeBounds;
  /** Bytes of bodies that may be held at once. */
  readonly heldBytesMax: number;
  /** The part of its time that the main thread's event loop was busy since it was last asked for, 0 to 1. */
  readonly mainLoopUse: () => number;
}

/** Where messages of one skill come in from one source. */
export interface IntakePlace extends Pick<SkillIntake<Work>, "window" | "slots"> {
  readonly source: Source;
  readonly skill: SkillPolicy;
}

/** A body is here and, while its run is under way, in its thread. */
const copiesOfBody = 2;
/** One in so many runs has its round trips measured. */
const measuredEvery = 16;

/** What the sources share of a skill. */
interface SharedIntake extends Pick<SkillIntake<Work>, "slots" | "isDry" | "latency"> {
  /** How long its code has held the threads' loops since the start, as looked at last, and when that was. */
  heldMs: number;
  lookedMs: number;
}

export interface SkillsIntake extends Pick<SkillIntake<Work>, "latency"> {
  readonly skill: SkillPolicy;
  readonly windows: readonly IntakeWindow[];
}

/** What is taken of one source. */
interface SourceIntake {
  readonly skills: ReadonlyMap<SkillPolicy, SkillIntake<Work>>;
  readonly mix: ArrivalMix;
}

export class Intake {
  readonly #options: IntakeOptions;
  readonly #shared = new Map<SkillPolicy, SharedIntake>();
  /** By source. */
  readonly #bySource: readonly SourceIntake[];
  readonly #isOfOneKind: boolean;
  readonly #bytes: ByteBudget;
  /** What may be on its way beside what is held. */
  readonly incoming: IncomingBytes<object>;
  readonly #endRate = new EndRate();
  readonly #loop: MainLoopHeadroom;

  constructor(options: IntakeOptions) {
    const { sources, intake, heldBytesMax } = options;
    this.#options = options;
    this.#bytes = new ByteBudget(heldBytesMax);
    this.#loop = new MainLoopHeadroom(options.mainLoopUse);
    this.incoming = new IncomingBytes(this.#bytes, copiesOfBody);
    this.#bySource = sources.map(({ skills }) => ({
      skills: new Map(
        skills.policies.map((skill, kind) => [skill, { kind, window: new IntakeWindow(intake), returns: new ReturnTimes(), ...this.#sharedOf(skill) }]),
      ),
      mix: new ArrivalMix(skills.policies.length),
    }));
    this.#isOfOneKind = sources.length === 1 && this.#shared.size === 1;
  }

  #sharedOf(skill: SkillPolicy): SharedIntake {
    const known = this.#shared.get(skill);
    if (known !== undefined) return known;
    const { executor, admission, threads, sources } = this.#options;
    const slots = new SkillSlots<Work>(skill.hasOwnThreads === true ? 1 : threads, skill.concurrentMax, sources.length > 1);
    // Asked only when a window is judged: it looks at every thread.
    const isDry = (): boolean => slots.waiting === 0 && executor.unbegun === 0 && !admission.isWaitedFor(skill.uses);
    const shared = { slots, isDry, latency: new LatencyWatch(), heldMs: 0, lookedMs: 0 };
    this.#shared.set(skill, shared);
    return shared;
  }

  #of(source: Source, skill: SkillPolicy): SkillIntake<Work> | undefined {
    return ofSource(this.#bySource, source).skills.get(skill);
  }

  /** No window grows beyond this. */
  get ceiling(): number {
    return this.#options.intake.ceiling;
  }

  get heldBytes(): number {
    return this.#bytes.heldBytes;
  }

  /** Runs that wait for a slot of their skill. */
  get waiting(): number {
    let sum = 0;
    for (const { slots } of this.#shared.values()) sum += slots.waiting;
    return sum;
  }

  /** A message has arrived; it is unknown yet what it is. */
  arrived(work: Work): void {
    this.#bytes.took(work.delivery.body.byteLength * copiesOfBody);
    work.budget = this.#bytes;
  }

  /** How many more messages of a source fit, of whatever skill. What others may bring counts, but leaves half of the room: most of them may bring nothing for hours. */
  bytesRoom(creditOfOthers: number): number {
    const room = this.#bytes.room();
    return creditOfOthers === 0 ? room : room - Math.min(creditOfOthers, Math.floor(room / 2));
  }

  /** How many more messages of this skill may be taken from the source. */
  room(source: Source, skill: SkillPolicy, nowMs: number): number {
    const intake = this.#of(source, skill);
    if (intake === undefined) return 0;
    const { window, isDry } = intake;
    window.isDriven = this.#loop.isFree(nowMs);
    window.lockMs = source.lockMs;
    const room = window.room(nowMs, isDry);
    return room === 0 && this.#hasBegunAll(skill, intake) ? window.begunAll(nowMs) : room;
  }

  /** Whether all that is held of it, from whichever source, is under way in the threads. */
  #hasBegunAll(skill: SkillPolicy, { window, slots, isDry }: SkillIntake<Work>): boolean {
    if (window.held > slots.inUse || !isDry()) return false;
    let held = 0;
    for (const { skills } of this.#bySource) held += skills.get(skill)?.window.held ?? 0;
    return held === slots.inUse;
  }

  /** Of how many messages of a source, of whatever skill, no more than `room` are likely to be of this one's; `room` itself where that is not above 0. */
  messagesFor(source: Source, skill: SkillPolicy, room: number): number {
    const { skills, mix } = ofSource(this.#bySource, source);
    const intake = skills.get(skill);
    return intake === undefined ? room : mix.messagesFor(intake.kind, room);
  }

  /** Which part of this skill's window is used up; 0 for what has none. */
  usage(source: Source, skill: SkillPolicy): number {
    const window = this.#of(source, skill)?.window;
    return window === undefined ? 0 : window.held / window.size;
  }

  /** Whether it holds all that its window allows, and none of that waits: the window is about to grow, when what is being claimed begins, too. */
  isGrowing(source: Source, skill: SkillPolicy): boolean {
    const intake = this.#of(source, skill);
    return intake !== undefined && intake.window.isFull && intake.window.canGrow && intake.isDry();
  }

  /** Whether its runs do not end. */
  isStalled(source: Source, skill: SkillPolicy, nowMs: number): boolean {
    return this.#of(source, skill)?.window.isStalled(nowMs) === true;
  }

  /** How long a message stays away that is left to others: `atMostMs` until what is held of its skill will have ended, but no two come back at once. */
  awayFor({ source, skill }: Work, nowMs: number): PauseBounds {
    const intake = skill && this.#of(source, skill);
    if (intake === undefined) return {};
    const { window, slots, returns } = intake;
    const { leastMs, serviceMs, concurrentMax } = slots;
    const atOnceMax = Math.min(concurrentMax, this.#options.admission.atOnce(skill?.uses ?? []));
    const runMs = Math.max(serviceMs, window.stillForMs(nowMs));
    const pace = { runMs, leastMs, atOnce: Math.min(window.size, atOnceMax), atOnceMax, endGapMs: this.#endRate.gapMs(nowMs) };
    return { atLeastMs: returns.next(nowMs, pace), atMostMs: window.turnsOverMs };
  }

  /**
   * Whether there are more messages of this skill here than it can begin soon, while others could use the place of one more. A session has one message here,
   * and what it needs is not to be found behind it.
   */
  isOverfull({ source, turn }: Work, skill: SkillPolicy): boolean {
    return turn === undefined && !this.#isOfOneKind && this.#of(source, skill)?.window.isOverfull === true;
  }

  /** The time between two ends of messages, of all skills; infinite where few have ended. */
  endGapMs(nowMs: number): number {
    return this.#endRate.gapMs(nowMs);
  }

  /** A message of this skill came and was left to others. */
  left({ source }: Work, skill: SkillPolicy): void {
    const kind = this.#of(source, skill)?.kind;
    if (kind !== undefined) ofSource(this.#bySource, source).mix.came(kind);
  }

  /** A message turned out to be one of this skill's; false when it is to be left to others. */
  took(work: Work, skill: SkillPolicy, nowMs: number): boolean {
    this.#goesOn(work);
    const intake = this.#of(work.source, skill);
    if (intake === undefined) {
      work.cameMs = nowMs;
      return true;
    }
    ofSource(this.#bySource, work.source).mix.came(intake.kind);
    if (this.isOverfull(work, skill)) return false;
    work.intake = intake;
    work.cameMs = nowMs;
    intake.window.took(nowMs);
    return true;
  }

  /** It was claimed. */
  claimed(work: Work, nowMs: number): void {
    work.claimedMs = nowMs;
    if (work.runId % measuredEvery === 0) work.intake?.window.tripped(nowMs - work.cameMs, undefined);
  }

  /** Whether its skill may have one more run under way; else it waits in its lane. */
  enter(work: Work): boolean {
    work.hasSlot ||= work.intake === undefined || work.intake.slots.enter(work);
    return work.hasSlot;
  }

  /** It is under way no more. */
  leave(work: Work): void {
    if (!work.hasSlot) return;
    work.hasSlot = false;
    work.intake?.slots.leave();
  }

  /** Those that have waited for a slot and have one now. */
  next(): Work[] {
    const found: Work[] = [];
    for (const { slots } of this.#shared.values()) {
      for (let work = slots.next(); work !== undefined; work = slots.next()) {
        work.hasSlot = true;
        found.push(work);
      }
    }
    return found;
  }

  /** Takes those out of their lanes that have waited since `sinceMs` or longer. */
  expire(sinceMs: number): Work[] {
    const expired: Work[] = [];
    const hasWaited = (work: Work): boolean => work.waitingSinceMs <= sinceMs;
    for (const { slots } of this.#shared.values()) {
      for (let work = slots.expire(hasWaited); work !== undefined; work = slots.expire(hasWaited)) expired.push(work);
    }
    return expired;
  }

  /** Takes every run out of the lanes. */
  clear(): void {
    for (const { slots } of this.#shared.values()) slots.clear();
  }

  /** Its first execution here has ended, after so long in its thread, of which it waited `recordingMs` until its steps were recorded. */
  ran(work: Work, durationMs: number, recordingMs: number, nowMs: number): void {
    work.ranMs = nowMs;
    work.intake?.latency.took(durationMs);
    work.intake?.window.ran(work.cameMs, nowMs - work.claimedMs - durationMs, durationMs, recordingMs, work.records);
    work.intake?.slots.ran(durationMs, recordingMs);
    if (work.runId % measuredEvery === 0) work.intake?.slots.adapt();
  }

  /** It is here no more. */
  ended(work: Work): void {
    this.#bytes.gave(work.delivery.body.byteLength * copiesOfBody);
    work.holdsMore(-work.besideBytes);
    work.budget = undefined;
    this.#goesOn(work);
    this.#leaveWindow(work);
  }

  /** It cannot begin soon: it takes no place of those that can, and a message that is larger than what is left need not wait for it. */
  rests(work: Work): void {
    this.#leaveWindow(work);
    this.#goesOn(work);
    work.isResting = true;
    work.restingBytes = work.delivery.body.byteLength * copiesOfBody + work.besideBytes;
    this.#bytes.rests(work.restingBytes);
  }

  #goesOn(work: Work): void {
    if (!work.isResting) return;
    work.isResting = false;
    this.#bytes.goesOn(work.restingBytes);
  }

  /** What waits in place takes more of the budget than is left to it. */
  get restsTooMuch(): boolean {
    return this.#bytes.restsTooMuch;
  }

  #leaveWindow(work: Work): void {
    this.leave(work);
    const { intake } = work;
    if (intake === undefined) return;
    work.intake = undefined;
    const nowMs = this.#options.clock.monotonicMs();
    if (work.ranMs > 0 && work.runId % measuredEvery === 0) intake.window.tripped(undefined, nowMs - work.ranMs);
    intake.window.gave(nowMs);
    this.#endRate.ended(nowMs);
  }

  /** For how long code of the skill has held the threads' loops since the start. */
  loopMs({ name }: SkillPolicy): number {
    return this.#options.executor.heldMs(name);
  }

  /** Once a second: how much of the threads' loops each skill's runs hold. */
  look(nowMs: number): void {
    const { executor } = this.#options;
    for (const [{ name }, shared] of this.#shared) {
      const { slots } = shared;
      // Time in which there is nothing to do says nothing.
      if (!slots.canTell && slots.inUse > 0) continue;
      const heldMs = executor.heldMs(name);
      if (slots.canTell) slots.heldLoops(heldMs - shared.heldMs, nowMs - shared.lookedMs);
      shared.heldMs = heldMs;
      shared.lookedMs = nowMs;
    }
  }

  /** Of each skill how its runs go, from whichever source, and its windows. */
  skills(): SkillsIntake[] {
    return Array.from(this.#shared, ([skill, { latency }]) => ({
      skill,
      latency,
      windows: this.#bySource.flatMap(({ skills }) => skills.get(skill)?.window ?? []),
    }));
  }

  places(): IntakePlace[] {
    return this.#options.sources.flatMap((source) =>
      Array.from(ofSource(this.#bySource, source).skills, ([skill, { window, slots }]) => ({ source, skill, window, slots })),
    );
  }
}
