/**
 * What a worker holds of each skill's messages, how much more of them it takes, and how many of its runs are under way at once:
 * an intake window and slots for each skill, and one budget of bytes for all.
 */
import type { Clock } from "../core/clock.ts";
import type { SkillPolicy, SkillTable } from "../core/skill.ts";
import { ArrivalMix } from "../policy/arrival-mix.ts";
import { ByteBudget } from "../policy/byte-budget.ts";
import { type IntakeBounds, IntakeWindow } from "../policy/intake-window.ts";
import { LatencyWatch } from "../policy/latency-watch.ts";
import { type SkillIntake, SkillSlots } from "../policy/skill-slots.ts";
import type { Executor } from "../ports/executor.ts";
import type { Work } from "./work.ts";

export interface IntakeOptions {
  readonly clock: Clock;
  readonly executor: Pick<Executor, "unbegun">;
  readonly skills: SkillTable;
  readonly threads: number;
  /** Bounds of the window of each skill. */
  readonly intake: IntakeBounds;
  /** Bytes of bodies that may be held at once. */
  readonly heldBytesMax: number;
}

/** What anyone may see of a skill's intake. */
export interface IntakeView {
  readonly skill: string;
  readonly held: number;
  readonly window: number;
  /** Runs under way, and how many may be. */
  readonly running: number;
  readonly concurrentMax: number;
}

/** A body is here and, while its run is under way, in its thread. */
const copiesOfBody = 2;
/** One in so many runs has its round trips measured. */
const measuredEvery = 16;

export class Intake {
  readonly #options: IntakeOptions;
  readonly #skills: ReadonlyMap<SkillPolicy, SkillIntake<Work>>;
  readonly #isOfOneKind: boolean;
  readonly #mix: ArrivalMix;
  /** Asked only when a window is judged: it looks at every thread. */
  readonly #isDry = (): boolean => this.#options.executor.unbegun === 0;
  readonly #bytes: ByteBudget;

  constructor(options: IntakeOptions) {
    const { skills, intake, threads, heldBytesMax } = options;
    this.#options = options;
    this.#bytes = new ByteBudget(heldBytesMax);
    this.#skills = new Map(
      skills.policies.map((skill, kind) => [
        skill,
        { kind, window: new IntakeWindow(intake), slots: new SkillSlots<Work>(threads, skill.concurrentMax), latency: new LatencyWatch() },
      ]),
    );
    this.#mix = new ArrivalMix(this.#skills.size);
    this.#isOfOneKind = this.#skills.size === 1;
  }

  get heldBytes(): number {
    return this.#bytes.heldBytes;
  }

  /** Runs that wait for a slot of their skill. */
  get waiting(): number {
    let sum = 0;
    for (const { slots } of this.#skills.values()) sum += slots.waiting;
    return sum;
  }

  /** A message has arrived; it is unknown yet what it is. */
  arrived({ delivery }: Work): void {
    this.#bytes.took(delivery.body.byteLength * copiesOfBody);
  }

  /** How many more messages fit, of whatever skill. */
  bytesRoom(): number {
    return this.#bytes.room();
  }

  /** How many more messages of this skill may be taken. */
  room(skill: SkillPolicy, nowMs: number): number {
    return this.#skills.get(skill)?.window.room(nowMs, this.#isDry) ?? 0;
  }

  /** Of how many messages, of whatever skill, no more than `room` are likely to be of this one's; `room` itself where that is not above 0. */
  messagesFor(skill: SkillPolicy, room: number): number {
    const intake = this.#skills.get(skill);
    return intake === undefined ? room : this.#mix.messagesFor(intake.kind, room);
  }

  /** Which part of this skill's window is used up; 0 for what has none. */
  usage(skill: SkillPolicy): number {
    const window = this.#skills.get(skill)?.window;
    return window === undefined ? 0 : window.held / window.size;
  }

  /** Whether its runs do not end. */
  isStalled(skill: SkillPolicy, nowMs: number): boolean {
    return this.#skills.get(skill)?.window.isStalled(nowMs) === true;
  }

  /** After so long, what is held of a skill will have ended; undefined for what has no window. */
  turnsOverMs(skill: SkillPolicy | undefined): number | undefined {
    return skill === undefined ? undefined : this.#skills.get(skill)?.window.turnsOverMs;
  }

  /** A message turned out to be one of this skill's; false when there are more of them here than it can begin soon, while others could use the place. */
  took(work: Work, skill: SkillPolicy, nowMs: number): boolean {
    const intake = this.#skills.get(skill);
    if (intake === undefined) return true;
    this.#mix.came(intake.kind);
    // A session has one message here, and what it needs is not to be found behind it.
    if (intake.window.isOverfull && !this.#isOfOneKind && work.turn === undefined) return false;
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
    for (const { slots } of this.#skills.values()) {
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
    for (const { slots } of this.#skills.values()) {
      for (let work = slots.expire(hasWaited); work !== undefined; work = slots.expire(hasWaited)) expired.push(work);
    }
    return expired;
  }

  /** Takes every run out of the lanes. */
  clear(): void {
    for (const { slots } of this.#skills.values()) slots.clear();
  }

  /** Its first execution here has ended, after so long in its thread. */
  ran(work: Work, durationMs: number, nowMs: number): void {
    work.ranMs = nowMs;
    work.intake?.latency.took(durationMs);
    work.intake?.window.ran(work.cameMs, nowMs - work.claimedMs - durationMs, durationMs);
    if (work.runId % measuredEvery === 0) work.intake?.slots.measured(work.intake.window.serviceMs);
  }

  /** It is here no more. */
  ended(work: Work): void {
    this.#bytes.gave(work.delivery.body.byteLength * copiesOfBody);
    this.rests(work);
  }

  /** It cannot begin soon: it takes no place of those that can. */
  rests(work: Work): void {
    this.leave(work);
    const { intake } = work;
    if (intake === undefined) return;
    work.intake = undefined;
    const nowMs = this.#options.clock.monotonicMs();
    if (work.ranMs > 0 && work.runId % measuredEvery === 0) intake.window.tripped(undefined, nowMs - work.ranMs);
    intake.window.gave(nowMs);
  }

  skills(): MapIterator<[SkillPolicy, SkillIntake<Work>]> {
    return this.#skills.entries();
  }

  view(): IntakeView[] {
    return [...this.#skills].map(([skill, { window, slots }]) => ({
      skill: skill.name,
      held: window.held,
      window: window.size,
      running: slots.inUse,
      concurrentMax: slots.concurrentMax,
    }));
  }
}
