/**
 * The executions of claimed runs: admit → (a lane →) post → conclude → settle, or again. Nothing starts while the store is down,
 * past its lock or lease, or once the worker stops.
 */
import type { Clock, Random, Timer } from "../core/clock.ts";
import type { SkillPolicy } from "../core/skill.ts";
import { enqueuedFirstMs, expiresAtMs, wasDelivered } from "../core/copy.ts";
import { messageOf } from "../core/errors.ts";
import { failureOf, failureText, lossCode, type Outcome } from "../core/outcome.ts";
import type { PostponeReason, Settlement } from "../core/settlement.ts";
import { defaultRetryPolicy } from "../core/skill.ts";
import type { Admission } from "../policy/admission.ts";
import { type PauseBounds, postponeDelayMs, postponeMaxMs } from "../policy/backoff.ts";
import type { BrokerClock } from "../policy/broker-clock.ts";
import { classify, classifyFailure } from "../policy/classify.ts";
import { decideCompensating } from "../policy/compensating.ts";
import type { ReadAhead } from "../policy/read-ahead.ts";
import { decide, type History } from "../policy/recoverability.ts";
import type { RetryBudget } from "../policy/retry-budget.ts";
import { decideBlocking } from "../policy/session-turns.ts";
import type { Executor, RunOrder, RunResult } from "../ports/executor.ts";
import type { ExecutionMeter, Telemetry } from "../ports/telemetry.ts";
import { orderFor } from "./order-for.ts";
import { Room } from "./room.ts";
import { eachAlone } from "./each-alone.ts";
import type { InFlight } from "./in-flight.ts";
import type { Intake } from "./intake.ts";
import type { Settler } from "./settle.ts";
import { ofSource, type Source } from "./source.ts";
import type { StoreGate } from "./store-gate.ts";
import type { Suspects } from "./suspects.ts";
import type { Traces } from "./traces.ts";
import { Turns } from "./turns.ts";
import type { Work } from "./work.ts";

/** A run waits in a lane for this part of a lock at most: what is returned to the queue must still be ours. */
const waitOfLockMax = 0.5;
/** A message that is left to others stays away for this part of what is left of its time-to-live at most. */
const awayOfLifeMax = 0.25;
/** A run waits for a slot of its skill for so long at most. */
const slotWaitMaxMs = 5_000;
const slotOfSkill = "a slot of its skill";
/** How often lanes are looked at while runs wait in them, and how often at most where waits are short: time alone can end a wait. */
const laneLookMs = 1_000;
const laneLookMinMs = 20;

export interface ExecutionsOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  /** Undefined where nobody counts executions. */
  readonly meter?: ExecutionMeter | undefined;
  /** Undefined when nothing is traced. */
  readonly traces?: Traces | undefined;
  readonly gate: StoreGate;
  readonly executor: Executor;
  readonly admission: Admission<Work>;
  readonly retryBudget: RetryBudget;
  readonly readAhead: ReadAhead;
  readonly inFlight: InFlight;
  readonly intake: Intake;
  readonly threads: number;
  /** By source; filled after this is made. */
  readonly settlers: readonly Settler[];
  readonly sources: readonly Source[];
  readonly suspects: Suspects;
  readonly brokerClock: BrokerClock;
  /** Takes back credit beyond what there is room for now. */
  trim(): void;
}

export class Executions {
  readonly #options: ExecutionsOptions;
  readonly #room: Room;
  /** Claimed runs that may start once the store is back. */
  #stalled: Work[] = [];
  #laneLook: Timer | undefined;
  #isStopping = false;
  #mayBegin = true;
  /** The run that uses the thread for isolated runs, and those that wait for this thread: without slots, which others may use. */
  #apart: Work | undefined;
  #waitingApart: Work[] = [];
  /** Undefined where there is but one source: it need not wait for others. */
  readonly #turns: Turns | undefined;

  constructor(options: ExecutionsOptions) {
    const { gate, sources } = options;
    this.#options = options;
    this.#room = new Room(options);
    this.#turns = sources.length === 1 ? undefined : new Turns({ ...options, moved: () => this.moveLanes() });
    gate.onReopened(() => this.#storeIsBack());
    gate.onGaveUp(() => this.#withdrawIdle().forEach((work) => this.#settlerOf(work).handBack(work)));
  }

  #settlerOf({ source }: Work): Settler {
    return ofSource(this.#options.settlers, source);
  }

  /** Whether what has not started may still start here; else it is returned to the queue. */
  get mayBegin(): boolean {
    return this.#mayBegin;
  }

  /** How many messages of a source may be taken beyond those that are here; see `Room`. */
  room(source: Source, creditOfOthers: number): number {
    return this.#room.of(source, creditOfOthers);
  }

  /** Nothing starts any more, where it can be returned without counting a delivery; what executes goes on. */
  stop(): void {
    this.#isStopping = true;
    if (this.#options.sources.every(({ transport }) => transport.releaseIsFree)) this.#mayBegin = false;
  }

  /** Returns to the queue what has not started, or pauses between two attempts; nothing starts after this. */
  handBackIdle(): void {
    this.#mayBegin = false;
    for (const work of this.#withdrawIdle()) this.#settlerOf(work).release(work);
  }

  /** Returns everything idle to the queue, except one. */
  putBackIdle(except: Work): void {
    for (const work of this.#withdrawIdle()) {
      if (work !== except) this.putBack(work);
    }
  }

  /** Nothing of it has started here, and other workers are to take it: without counting a delivery, as a copy where nothing else does that. */
  putBack(work: Work): void {
    if (work.lockLost) this.#settlerOf(work).fail(work, { kind: "drop" });
    else if (!this.#mayBegin || work.source.transport.releaseIsFree || work.turn !== undefined) this.#settlerOf(work).release(work);
    else this.postpone(work, "not-started");
  }

  /** Asks those that execute to stop at their next step boundary. */
  interrupt(works: Iterable<Work>): void {
    const runIds = [...works].filter((work) => work.stage === "executing").map((work) => work.runId);
    this.#options.executor.interrupt(runIds, "interrupted");
  }

  /** Its message is another's by now, or soon: it stops at its next step boundary, and before its next effect within a step. */
  lose(work: Work): void {
    this.interrupt([work]);
    this.#options.executor.extend([work.runId], 0);
  }

  /** Claimed runs: they start, wait, or are postponed. */
  admit(works: readonly Work[]): void {
    const orders: RunOrder[] = [];
    eachAlone(
      works,
      (work) => this.#admit(work, orders),
      (work, error) => this.#broke(work, error),
    );
    this.#post(orders);
  }

  /** 9–10. One outcome for each run, reported once to circuits and slots; one settlement. */
  conclude(results: readonly RunResult[]): void {
    const { inFlight, admission, clock, intake, meter } = this.#options;
    const nowMs = clock.monotonicMs();
    const conclude = ({ runId, calls, answer, durationMs, recordingMs, trace }: RunResult): void => {
      const work = inFlight.get(runId);
      if (work === undefined || work.stage !== "executing") return;
      if (work.posts === 1 && durationMs > 0) intake.ran(work, durationMs, recordingMs, nowMs);
      admission.leave(work, calls, nowMs, answer.kind !== "thread-lost" && !(answer.kind === "timed-out" && answer.blockedThread === true));
      intake.leave(work);
      if (answer.kind === "not-started") this.#turns?.withdrew(work);
      else this.#turns?.ended(work, durationMs, nowMs, answer.kind === "timed-out" || (answer.kind === "thread-lost" && answer.part === "sole"));
      work.calls = calls;
      if (durationMs > 0) meter?.executed(work.skillName, durationMs, calls);
      if (trace !== undefined) this.#options.traces?.executed(work, trace);
      if (work === this.#apart) this.#apart = undefined;
      const outcome = classify(answer);
      // What no thread began, or what ended with its thread, is no execution of the skill's, not as a retry in place either.
      if (outcome.kind === "not-started" || outcome.kind === "lost") work.executions -= 1;
      if (outcome.kind === "lost" && outcome.part === "sole" && !this.#isStopping) work.lossesHere += 1;
      // It would hold up others again.
      if (answer.kind === "timed-out" && answer.blockedThread === true) work.isApart = true;
      this.#settle(work, outcome);
    };
    eachAlone(results, conclude, ({ runId }, error) => {
      const work = inFlight.get(runId);
      if (work !== undefined) this.#broke(work, error);
    });
    this.#moveLanes(nowMs);
    this.#nextApart();
  }

  /** Something may begin that could not before. */
  moveLanes(): void {
    this.#moveLanes(this.#options.clock.monotonicMs());
  }

  #waitApart(work: Work): void {
    work.stage = "isolated";
    this.#options.inFlight.decided(work);
    this.#waitingApart.push(work);
  }

  #nextApart(): void {
    while (this.#apart === undefined) {
      const next = this.#waitingApart.shift();
      if (next === undefined) return;
      if (next.stage === "isolated") this.admit([next]);
    }
  }

  /** It counts as one that its skill holds from now on; false when it is to be left to others. */
  take(work: Work, skill: SkillPolicy): boolean {
    const { intake, clock } = this.#options;
    if (!intake.took(work, skill, clock.monotonicMs())) return false;
    this.#room.took(work);
    return true;
  }

  /** More of its skill are here than can begin soon. */
  leaveToOthers(work: Work): void {
    this.#room.leftToOthers();
    const { intake, clock, brokerClock } = this.#options;
    const { atLeastMs = 0, atMostMs } = intake.awayFor(work, clock.monotonicMs());
    // Each time it stays away it is left enough of its life to be run in.
    const leftMs = expiresAtMs(work.delivery) - brokerClock.nowMs();
    this.postpone(work, "window-full", { atLeastMs: Math.min(atLeastMs, leftMs * awayOfLifeMax, postponeMaxMs), atMostMs });
  }

  /** It returns later, as a copy. */
  postpone(work: Work, why: PostponeReason, pause: PauseBounds & { readonly dependency?: string } = {}): void {
    const { random, readAhead, brokerClock } = this.#options;
    if (why === "lane-full") readAhead.spent();
    const delayMs = postponeDelayMs(work.countedPostponements(brokerClock.nowMs()), pause, random);
    this.#settlerOf(work).fail(work, { kind: "postpone", why, delayMs, dependency: pause.dependency });
  }

  /** 6. Slots of all dependencies, a place in a lane, or later. */
  #admit(work: Work, orders: RunOrder[]): void {
    const { clock, gate, intake } = this.#options;
    if (this.#isOver(work)) return;
    if (!gate.isOpen) return this.#stall(work);
    if (work.isApart && this.#apart !== undefined) return this.#waitApart(work);
    const nowMs = clock.monotonicMs();
    if (work.posts === 0) intake.claimed(work, nowMs);
    if (intake.enter(work)) return this.#admitNow(work, nowMs, orders);
    work.waitedFor = slotOfSkill;
    this.#wait(work, nowMs);
  }

  /** It counts as one of its skill's runs that are under way. */
  #admitNow(work: Work, nowMs: number, orders: RunOrder[]): void {
    const { admission, inFlight, intake } = this.#options;
    const answer = admission.admit(work, nowMs);
    inFlight.decided(work);
    switch (answer.kind) {
      case "admitted":
        this.#room.found(work);
        this.#start(work, nowMs, orders);
        return;
      case "limited":
        intake.leave(work);
        this.#wait(work, nowMs);
        return;
      case "waiting":
        this.#wait(work, nowMs);
        return;
      case "postponed":
        this.postpone(work, answer.why, answer);
        return;
    }
  }

  #wait(work: Work, nowMs: number): void {
    this.#options.inFlight.decided(work);
    work.stage = "waiting";
    work.waitingSinceMs = nowMs;
    this.#lookAtLanesLater();
  }

  /** Nothing starts while the store is down. */
  #stall(work: Work): void {
    const { gate } = this.#options;
    if (gate.hasGivenUp) return this.#settlerOf(work).handBack(work);
    work.stage = "stalled";
    this.#stalled.push(work);
  }

  /** Whether it must not start here any more; then it is being returned. */
  #isOver(work: Work): boolean {
    if (!work.lockLost && !work.isCancelled && this.#mayBegin && !this.#options.suspects.excludes(work)) return false;
    this.putBack(work);
    return true;
  }

  /** 7. It has its slots, and waits for the turn of its source when threads are busy. */
  #start(work: Work, nowMs: number, orders: RunOrder[]): void {
    if (this.#turns === undefined || this.#turns.enter(work, nowMs)) return this.#begin(work, nowMs, orders);
    hasWaited(work, nowMs);
    work.stage = "ready";
    work.waitingSinceMs = nowMs;
  }

  /** A thread gets what it needs to execute the run, unless it waited until its lock or lease was over. */
  #begin(work: Work, nowMs: number, orders: RunOrder[]): void {
    const { admission, inFlight, telemetry, suspects } = this.#options;
    if (work.lockLost || work.isCancelled || work.leaseUntilMs <= nowMs) {
      this.#leaveUnbegun(work, nowMs);
      if (!this.#isOver(work)) this.putBack(work);
      return;
    }
    hasWaited(work, nowMs);
    const isFirstHere = work.posts === 0;
    work.begin();
    if (!isFirstHere) inFlight.renumber(work);
    else if (work.steps.length > 0) {
      const { eventId, skillName: skill, attempt, epoch } = work;
      telemetry.emit({ type: "run.resumed", eventId, skill, attempt, stepsDone: work.steps.length, epoch }, work);
    }
    if (work.isApart) this.#apart = work;
    orders.push(orderFor(work, nowMs, this.#isInDoubt(work), admission));
    work.stage = "executing";
    suspects.started(work);
  }

  /** It gives back what it has got. */
  #leaveUnbegun(work: Work, nowMs: number): void {
    this.#turns?.withdrew(work);
    this.#options.admission.leave(work, [], nowMs);
  }

  #isInDoubt({ delivery, eventId, source: { storeDoubt } }: Work): boolean {
    const { brokerClock } = this.#options;
    if (!storeDoubt.isActive) return false;
    return storeDoubt.covers({ eventId, enqueuedAtMs: enqueuedFirstMs(delivery), wasDelivered: wasDelivered(delivery) }, brokerClock);
  }

  #post(orders: readonly RunOrder[]): void {
    if (orders.length > 0) this.#options.executor.post(orders);
  }

  #settle(work: Work, outcome: Outcome): void {
    if (outcome.kind === "succeeded") this.#settlerOf(work).succeed(work, outcome);
    else this.#settleFailed(work, outcome);
  }

  #settleFailed(work: Work, outcome: Exclude<Outcome, { kind: "succeeded" }>): void {
    const { retryBudget, clock } = this.#options;
    // A retry in place goes by the steps that are known here: none may still be on its way to the store.
    const mayRetryHere = (): boolean => work.stepsPending === 0 && retryBudget.spend(clock.monotonicMs());
    const settlement = this.#decide(work, outcome, mayRetryHere);
    // Whose doing the loss was is not known: nothing is held against this run.
    const isCounted = outcome.kind !== "lost" || outcome.part === "sole" || settlement.kind !== "retry-now";
    if (isCounted) this.#tellFailed(work, outcome, settlement);
    else this.#options.traces?.failed(work, lossCode(outcome));
    if ((outcome.kind === "transient" || outcome.kind === "compensating") && settlement.kind === "retry-now") work.hasFailed = true;
    if (settlement.kind === "retry-now") this.#retryHere(work, settlement, isCounted);
    else if (settlement.kind !== "complete") this.#settlerOf(work).fail(work, settlement);
  }

  /** Handling it threw, while others went on: a failed attempt, which is not retried in place. */
  #broke(work: Work, error: unknown): void {
    this.#settlerOf(work).tellBroken(work, error);
    if (work.isOnItsWayOut) return;
    const failure = { code: "HANDLING_FAILED", message: messageOf(error) };
    const outcome = classifyFailure(failure, true);
    const settlement = this.#decide(work, outcome, () => false);
    this.#tellFailed(work, outcome, settlement);
    if (settlement.kind !== "retry-now" && settlement.kind !== "complete") this.#settlerOf(work).fail(work, settlement);
  }

  /** What goes back or is postponed has not failed: its worker stops, or nothing was tried. */
  #tellFailed(work: Work, outcome: Outcome, { kind }: Settlement): void {
    const failure = failureOf(outcome);
    if (failure === undefined || (kind !== "retry-now" && kind !== "retry-later" && kind !== "dead-letter")) return;
    const { eventId, skillName: skill, attempt } = work;
    const description = failureText(failure, work.skill?.name);
    this.#options.traces?.failed(work, failure.code);
    this.#options.telemetry.emit(
      { type: "run.failed", eventId, skill, attempt, class: failure.class, code: failure.code, step: failure.step ?? "", description },
      work,
    );
  }

  #decide(work: Work, outcome: Outcome, mayRetryHere: () => boolean): Settlement {
    const { random } = this.#options;
    const policy = work.skill?.retry ?? defaultRetryPolicy;
    const history = this.#historyOf(work);
    const { verdict, steps } = work;
    if (verdict === undefined) return (isBlocking(work) ? decideBlocking : decide)(outcome, history, policy, mayRetryHere, random);
    return decideCompensating(outcome, { ...history, verdict, steps: steps.length }, policy, mayRetryHere, random);
  }

  /** Its failure is on record: it starts once more, to be compensated. */
  compensate(work: Work): void {
    work.stage = "pausing";
    this.#admitAfter(work, 0);
  }

  #historyOf(work: Work): History {
    const { attempts, retriesInPlace, lockLost } = work;
    const postponements = work.countedPostponements(this.#options.brokerClock.nowMs());
    const losses = work.losses + work.lossesHere;
    return { skill: work.skill?.name, attempts, losses, retriesInPlace, postponements, lockLost, stopping: this.#isStopping };
  }

  #retryHere(work: Work, { delayMs, code, description, apart }: Extract<Settlement, { kind: "retry-now" }>, isCounted: boolean): void {
    const { telemetry } = this.#options;
    work.stage = "pausing";
    work.isApart ||= apart;
    const type = isCounted ? "run.retrying" : "run.restarting";
    telemetry.emit({ type, eventId: work.eventId, skill: work.skillName, attempt: work.attempt, delayMs, code, description }, work);
    this.#admitAfter(work, delayMs);
  }

  /** A run goes by the steps that are known here: none of an execution that was lost may still be on its way to the store. */
  #admitAfter(work: Work, delayMs: number): void {
    this.#options.clock.after(delayMs, () => {
      if (work.stage !== "pausing") return;
      if (work.stepsPending > 0) this.#admitAfter(work, delayMs);
      else this.admit([work]);
    });
  }

  #storeIsBack(): void {
    const stalled = this.#stalled;
    this.#stalled = [];
    this.admit(stalled.filter((work) => work.stage === "stalled"));
    this.#moveLanes(this.#options.clock.monotonicMs());
  }

  /** Slots came free, or time has passed: the lanes move on, and what has waited too long is returned to the queue. */
  #moveLanes(nowMs: number): void {
    const { admission, intake, gate } = this.#options;
    if (this.#inLanes === 0 || !gate.isOpen || !this.#mayBegin) return;
    const moved = admission.next(nowMs);
    const waitMaxMs = this.#shortestLockMs() * waitOfLockMax;
    const late = admission.expire(nowMs, waitMaxMs);
    const sinceMs = nowMs - Math.min(slotWaitMaxMs, waitMaxMs);
    const tooLate = this.#turns?.expire(sinceMs) ?? [];
    for (const run of tooLate) this.#leaveUnbegun(run, nowMs);
    const expired = [...late.expired, ...intake.expire(sinceMs), ...tooLate];
    for (const run of expired) {
      hasWaited(run, nowMs);
      this.putBack(run);
    }
    if (expired.length > 0) this.#options.trim();
    const orders: RunOrder[] = [];
    for (const { admitted, postponed, limited } of [moved, late]) {
      for (const { run, answer } of postponed) {
        hasWaited(run, nowMs);
        this.postpone(run, answer.why, answer);
      }
      for (const run of limited) intake.leave(run);
      for (const run of admitted) this.#startWithSlot(run, nowMs, orders);
    }
    for (const run of intake.next()) if (!this.#isOver(run)) this.#admitNow(run, nowMs, orders);
    this.#takeTurns(nowMs, orders);
    this.#post(orders);
  }

  #takeTurns(nowMs: number, orders: RunOrder[]): void {
    if (this.#turns === undefined) return;
    for (let run = this.#turns.next(nowMs); run !== undefined; run = this.#turns.next(nowMs)) this.#begin(run, nowMs, orders);
  }

  /** Runs that wait for slots, for limits, or for their turn. */
  get #inLanes(): number {
    const { admission, intake } = this.#options;
    return admission.waiting + intake.waiting + (this.#turns?.waiting ?? 0);
  }

  /** What waited for a limit has no slot of its skill yet; where none is free it returns what it has taken, and waits for the slot. */
  #startWithSlot(work: Work, nowMs: number, orders: RunOrder[]): void {
    const { admission, intake } = this.#options;
    if (intake.enter(work)) return this.#start(work, nowMs, orders);
    admission.leave(work, [], nowMs);
    hasWaited(work, nowMs);
    work.waitedFor = slotOfSkill;
    this.#wait(work, nowMs);
  }

  /** Of those that are known; 0 while none is. */
  #shortestLockMs(): number {
    let shortestMs = Number.POSITIVE_INFINITY;
    for (const { lockMs } of this.#options.sources) if (lockMs > 0 && lockMs < shortestMs) shortestMs = lockMs;
    return shortestMs === Number.POSITIVE_INFINITY ? 0 : shortestMs;
  }

  #lookAtLanesLater(): void {
    const { clock, admission } = this.#options;
    this.#laneLook ??= clock.after(Math.min(laneLookMs, Math.max(laneLookMinMs, admission.waitMinMs)), () => {
      this.#laneLook = undefined;
      this.#moveLanes(clock.monotonicMs());
      if (this.#inLanes > 0) this.#lookAtLanesLater();
    });
  }

  /** Takes everything that is idle out of lanes and lists; the caller settles it. */
  #withdrawIdle(): Work[] {
    const { admission, intake, inFlight, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const work of this.#turns?.clear() ?? []) this.#leaveUnbegun(work, nowMs);
    admission.clear();
    intake.clear();
    this.#stalled = [];
    this.#laneLook?.cancel();
    this.#laneLook = undefined;
    return [...inFlight.works()].filter((work) => work.isIdle);
  }
}

/** It waits no longer where it waited. */
function hasWaited(work: Work, nowMs: number): void {
  if (work.stage === "waiting" || work.stage === "ready") work.waitedMs += nowMs - work.waitingSinceMs;
}

/** Nothing of its session goes before it; but what is compensated when it fails has a way out of its own. */
function isBlocking({ turn, skill }: Work): boolean {
  return turn?.onFailure === "block" && skill?.critical === false;
}
