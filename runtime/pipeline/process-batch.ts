/**
 * The journey of a batch, from arrival to settlement:
 *
 *   arrive → route → follow (another delivery of the event is here) → claim → admit → post → [checkpoint …] → conclude → settle
 *
 * This file owns every branch; what is decided stands in policy/, what is done to the outside in settle.ts and the ports.
 */
import { hash } from "node:crypto";
import type { Clock, Random, Timer } from "../core/clock.ts";
import { postponementsOf, retriesInPlaceOf } from "../core/copy.ts";
import type { Delivery } from "../core/delivery.ts";
import type { Invalid } from "../core/event-envelope.ts";
import type { Outcome } from "../core/outcome.ts";
import type { RouteResult } from "../core/read-route.ts";
import type { PostponeReason, Settlement } from "../core/settlement.ts";
import { defaultRetryPolicy, type SkillTable } from "../core/skill.ts";
import type { Admission } from "../policy/admission.ts";
import { postponeDelayMs } from "../policy/backoff.ts";
import { classify } from "../policy/classify.ts";
import type { ReadAhead } from "../policy/read-ahead.ts";
import { decide } from "../policy/recoverability.ts";
import type { RetryBudget } from "../policy/retry-budget.ts";
import type { Executor, RunOrder, RunResult } from "../ports/executor.ts";
import type { ClaimRequest, ClaimResult, RunStore } from "../ports/run-store.ts";
import type { FinalOutcome, Telemetry } from "../ports/telemetry.ts";
import { GroupCommit } from "./group-commit.ts";
import type { InFlight } from "./in-flight.ts";
import type { Leases } from "./leases.ts";
import { lockRemainingMs, type LockKeeper } from "./lock-keeper.ts";
import { overDelivered, reused, unreadable, unroutable } from "./refusals.ts";
import type { Settler } from "./settle.ts";
import type { StoreGate } from "./store-gate.ts";
import { Work } from "./work.ts";

/** Deliveries of one event that wait here for another one of it; more come again later. */
export const followersMax = 32;
/** A held claim that ends this soon is waited for here; a later one is postponed through the queue. */
const holdHereMaxMs = 2_000;
/** A run waits this long in a lane at most before it is postponed. */
export const laneWaitMaxMs = 30_000;
/** How often lanes are looked at while runs wait in them: time alone can end a wait. */
const laneLookMs = 1_000;

export interface ProcessBatchOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly store: RunStore;
  readonly gate: StoreGate;
  readonly executor: Executor;
  readonly admission: Admission<Work>;
  readonly retryBudget: RetryBudget;
  readonly readAhead: ReadAhead;
  readonly inFlight: InFlight;
  readonly keeper: LockKeeper;
  readonly leases: Leases;
  readonly settler: Settler;
  readonly skills: SkillTable;
  readonly workerId: string;
  /** Deliveries past this attempt are dead-lettered before they are looked at; below the entity's own maximum. */
  readonly deliveriesMax: number;
  readRoute(delivery: Delivery): RouteResult;
}

export class BatchProcessor {
  readonly #options: ProcessBatchOptions;
  readonly #claims: GroupCommit<Work, readonly ClaimResult[]>;
  /** What the skills use, each combination once. */
  readonly #kinds: readonly (readonly number[])[];
  /** Messages of which it is not known yet whether they can be admitted. */
  #undecided = 0;
  /** Claimed runs that may start once the store is back. */
  #stalled: Work[] = [];
  #laneLook: Timer | undefined;
  #lastRunId = 0;
  #stopping = false;

  constructor(options: ProcessBatchOptions) {
    const { clock, gate, skills } = options;
    this.#options = options;
    this.#kinds = kindsOf(skills);
    this.#claims = new GroupCommit({
      clock,
      gate,
      write: (works) => this.#askClaims(works),
      written: (works, results) => this.#claimed(works, results),
      abandoned: (works) => works.forEach((work) => options.settler.handBack(work)),
    });
    gate.onReopened(() => this.#storeIsBack());
    gate.onGaveUp(() => this.#withdrawIdle().forEach((work) => options.settler.handBack(work)));
  }

  /**
   * How many messages may be taken beyond those that are here. A message's kind of work is known only once it is here: as many
   * as the fullest kind has room for can surely be admitted; those beyond, up to what the roomiest has room for, may have to
   * be postponed, so they are within the bound of reading ahead.
   */
  room(): number {
    const { admission, readAhead, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    let fullest = Number.POSITIVE_INFINITY;
    let roomiest = 0;
    for (const uses of this.#kinds) {
      const room = admission.room(uses, nowMs);
      fullest = Math.min(fullest, room);
      roomiest = Math.max(roomiest, room);
    }
    return Math.min(roomiest, fullest + readAhead.left(nowMs)) - this.#undecided;
  }

  /** 1–3. Starts to keep the locks, reads the routes. */
  arrive(deliveries: readonly Delivery[]): void {
    const { clock, keeper, inFlight, retryBudget } = this.#options;
    const nowMs = clock.monotonicMs();
    const wallMs = clock.wallMs();
    retryBudget.earn(deliveries.length);
    this.#undecided += deliveries.length;
    for (const delivery of deliveries) {
      const lockMs = lockRemainingMs(delivery.lockedUntilMs, wallMs);
      this.#lastRunId += 1;
      const work = new Work(this.#lastRunId, delivery, nowMs + lockMs);
      keeper.arrived(lockMs);
      inFlight.add(work);
      this.#route(work);
    }
  }

  /** Hands back what has not begun; what executes goes on. */
  stop(): void {
    this.#stopping = true;
    for (const work of this.#withdrawIdle()) this.#release(work);
  }

  /** Asks what still executes to stop at its next step boundary. */
  interrupt(): void {
    const { inFlight, executor } = this.#options;
    executor.interrupt(
      [...inFlight.works()].filter((work) => work.stage === "executing").map((work) => work.runId),
      "interrupted",
    );
  }

  #route(work: Work): void {
    const { delivery } = work;
    const { deliveriesMax, skills, inFlight, admission, clock } = this.#options;
    if (this.#stopping) return this.#release(work);
    if (delivery.attempt > deliveriesMax) return this.#refuse(work, overDelivered(deliveriesMax, delivery.attempt));
    const answer = this.#readRoute(delivery);
    if (!answer.ok) return this.#refuse(work, answer.invalid);
    const skill = skills.find(answer.route.eventType, answer.route.version);
    if (typeof skill === "string") return this.#refuse(work, unroutable(skill, answer.route));
    work.route = answer.route;
    work.contentEncoding = answer.contentEncoding;
    work.headers = answer.headers;
    work.payloadHash = hash("sha1", delivery.body, "base64");
    work.skill = skill;
    const owner = inFlight.ownerOf(work);
    if (owner !== undefined) return this.#follow(work, owner);
    // What cannot be admitted anyway need not be claimed first.
    const refused = skill.uses.length === 0 ? undefined : admission.refuses(skill.uses, clock.monotonicMs());
    if (refused !== undefined) this.#postpone(work, refused.why, refused.atLeastMs);
    else this.#claim(work);
  }

  #readRoute(delivery: Delivery): RouteResult {
    try {
      return this.#options.readRoute(delivery);
    } catch (error) {
      return { ok: false, invalid: unreadable(error) };
    }
  }

  /**
   * A second delivery of an event that is being worked on here waits for the first to end. When their payloads differ, the
   * store knows which one is the event's own.
   */
  #follow(work: Work, owner: Work): void {
    if (work.payloadHash !== owner.payloadHash) return this.#claim(work);
    owner.followers ??= [];
    if (owner.followers.length >= followersMax) return this.#postpone(work, "held", 0);
    work.stage = "following";
    owner.followers.push(work);
    this.#decided(work);
  }

  /** 4. Claims go out together. */
  #claim(work: Work): void {
    work.stage = "claiming";
    this.#claims.add(work);
  }

  #askClaims(works: readonly Work[]): Promise<readonly ClaimResult[]> {
    const { store, leases, workerId } = this.#options;
    const { leaseMs, untilMs } = leases.ask();
    const requests = works.map((work): ClaimRequest => {
      work.leaseUntilMs = untilMs;
      return { eventId: work.eventId, token: `${workerId}:${work.runId}`, payloadHash: work.payloadHash, pipelineHash: work.skill?.pipelineHash ?? "" };
    });
    return store.claim(requests, leaseMs);
  }

  #claimed(works: readonly Work[], results: readonly ClaimResult[]): void {
    const orders: RunOrder[] = [];
    works.forEach((work, index) => {
      const result = results[index];
      if (result === undefined) throw new RangeError(`expected ${works.length} claim results, got ${results.length}`);
      this.#heardClaim(work, result, orders);
    });
    this.#post(orders);
  }

  /** 5. What the store says of the run. */
  #heardClaim(work: Work, result: ClaimResult, orders: RunOrder[]): void {
    const { settler } = this.#options;
    switch (result.kind) {
      case "acquired":
        this.#acquired(work, result);
        this.#admit(work, orders);
        return;
      case "done":
        settler.absorb(work, result.outbox);
        return;
      case "dead":
        settler.fail(work, { kind: "dead-letter", state: "dead", reason: result.reason, description: "given up before; see the run's record" });
        return;
      case "held":
        this.#hold(work, result.forMs);
        return;
      case "reused":
        this.#refuse(work, reused(work.eventId));
        return;
    }
  }

  #acquired(work: Work, claim: Extract<ClaimResult, { kind: "acquired" }>): void {
    const { epoch, attempts, generation, steps, pipelineHash } = claim;
    work.epoch = epoch;
    work.attempts = attempts;
    work.generation = generation;
    work.steps = steps;
    if (attempts > 1) work.retriesBefore = retriesInPlaceOf(work.delivery, work.skill?.retry.immediateMax ?? 0);
    work.pipelineChanged = steps.length > 0 && pipelineHash !== work.skill?.pipelineHash;
  }

  /** Another worker has it: wait here if that is short, else come again later. */
  #hold(work: Work, forMs: number): void {
    const { clock, settler } = this.#options;
    if (work.lockLost) return settler.fail(work, { kind: "drop" });
    if (this.#stopping) return this.#release(work);
    if (forMs > holdHereMaxMs) return this.#postpone(work, "held", forMs);
    work.stage = "held";
    this.#decided(work);
    clock.after(forMs + 1, () => {
      if (work.stage === "held") this.#claim(work);
    });
  }

  /** 6. Slots of all dependencies, a place in a lane, or later. */
  #admit(work: Work, orders: RunOrder[]): void {
    const { admission, clock, gate, readAhead } = this.#options;
    if (this.#isOver(work)) return;
    if (!gate.isOpen) return this.#stall(work);
    const nowMs = clock.monotonicMs();
    const answer = admission.admit(work, nowMs);
    this.#decided(work);
    switch (answer.kind) {
      case "admitted":
        readAhead.found();
        this.#start(work, nowMs, orders);
        return;
      case "waiting":
        work.stage = "waiting";
        work.waitingSinceMs = nowMs;
        this.#lookAtLanesLater();
        return;
      case "postponed":
        this.#postpone(work, answer.why, answer.atLeastMs);
        return;
    }
  }

  /** Nothing starts while the store is down. */
  #stall(work: Work): void {
    const { gate, settler } = this.#options;
    if (gate.hasGivenUp) return settler.handBack(work);
    work.stage = "stalled";
    this.#stalled.push(work);
  }

  /** Whether it must not start here any more; then it is on its way out. */
  #isOver(work: Work): boolean {
    if (work.lockLost) this.#options.settler.fail(work, { kind: "drop" });
    else if (this.#stopping) this.#release(work);
    else return false;
    return true;
  }

  #decided(work: Work): void {
    if (work.isUndecided) this.#undecided -= 1;
    work.isUndecided = false;
  }

  #postpone(work: Work, why: PostponeReason, atLeastMs: number): void {
    const { settler, random, readAhead } = this.#options;
    if (why === "lane-full") readAhead.postponed();
    settler.fail(work, { kind: "postpone", why, delayMs: postponeDelayMs(postponementsOf(work.delivery), atLeastMs, random) });
  }

  /** 7. It has its slots: a thread gets what it needs to execute the run, unless it waited until its lock or lease was over. */
  #start(work: Work, nowMs: number, orders: RunOrder[]): void {
    const { admission, inFlight, telemetry } = this.#options;
    if (work.lockLost || work.leaseUntilMs <= nowMs) {
      admission.leave(work, [], nowMs);
      if (!this.#isOver(work)) this.#release(work);
      return;
    }
    if (work.executions > 0) {
      this.#lastRunId += 1;
      inFlight.renumber(work, this.#lastRunId);
    } else if (work.steps.length > 0) {
      telemetry.emit({ type: "run.resumed", eventId: work.eventId, skill: work.skillName, stepsDone: work.steps.length, epoch: work.epoch });
    }
    work.executions += 1;
    orders.push(orderFor(work, nowMs));
    work.stage = "executing";
  }

  #post(orders: readonly RunOrder[]): void {
    if (orders.length > 0) this.#options.executor.post(orders);
  }

  /** A lock is gone: the run stops at its next step, what is idle is dropped where it stands. */
  lockLost(work: Work): void {
    const { telemetry, executor, settler } = this.#options;
    telemetry.emit({ type: "lock.lost", eventId: work.eventId, where: "renew" });
    if (work.stage === "executing") executor.interrupt([work.runId], "interrupted");
    // In a lane its turn comes, soon or by time; the lane is not searched for it.
    else if ((work.isIdle && work.stage !== "waiting") || work.stage === "following") settler.fail(work, { kind: "drop" });
  }

  /** 9–10. One outcome a run, heard once by circuits and slots; one settlement. */
  conclude(results: readonly RunResult[]): void {
    const { inFlight, admission, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const result of results) {
      const work = inFlight.get(result.runId);
      if (work === undefined || work.stage !== "executing") continue;
      admission.leave(work, result.calls, nowMs);
      const lostWhileStopping = this.#stopping && result.answer.kind === "thread-lost";
      this.#settle(work, lostWhileStopping ? { kind: "interrupted" } : classify(result.answer));
    }
    this.#moveLanes(nowMs);
  }

  #settle(work: Work, outcome: Outcome): void {
    const { settler, retryBudget, random } = this.#options;
    if (outcome.kind === "succeeded") return settler.succeed(work, outcome.outbox);
    const { attempts, retriesInPlace, lockLost } = work;
    const history = { attempts, retriesInPlace, postponements: postponementsOf(work.delivery), lockLost, stopping: this.#stopping };
    // A retry in place goes by the steps that are known here: none may still be on its way to the store.
    const mayRetryHere = (): boolean => work.stepsPending === 0 && retryBudget.spend();
    const settlement = decide(outcome, history, work.skill?.retry ?? defaultRetryPolicy, mayRetryHere, random);
    if (settlement.kind === "retry-now") this.#retryHere(work, settlement);
    else if (settlement.kind !== "complete") settler.fail(work, settlement);
  }

  #retryHere(work: Work, { delayMs, code }: Extract<Settlement, { kind: "retry-now" }>): void {
    const { clock, telemetry } = this.#options;
    work.hasFailed = true;
    work.stage = "pausing";
    telemetry.emit({ type: "run.retrying", eventId: work.eventId, skill: work.skillName, attempt: work.attempts + work.retriesInPlace + 1, delayMs, code });
    clock.after(delayMs, () => {
      if (work.stage === "pausing") this.#admitAll([work]);
    });
  }

  #admitAll(works: readonly Work[]): void {
    const orders: RunOrder[] = [];
    for (const work of works) this.#admit(work, orders);
    this.#post(orders);
  }

  #storeIsBack(): void {
    const stalled = this.#stalled;
    this.#stalled = [];
    this.#admitAll(stalled.filter((work) => work.stage === "stalled"));
    this.#moveLanes(this.#options.clock.monotonicMs());
  }

  /** Slots came free, or time has passed: the lanes move on, and what has waited too long comes again later. */
  #moveLanes(nowMs: number): void {
    const { admission, gate } = this.#options;
    if (admission.waiting === 0 || !gate.isOpen) return;
    const { admitted, postponed } = admission.next(nowMs);
    for (const { run, answer } of postponed) this.#postpone(run, answer.why, answer.atLeastMs);
    for (const run of admission.expire((waiting) => nowMs - waiting.waitingSinceMs > laneWaitMaxMs)) this.#postpone(run, "lane-full", 0);
    const orders: RunOrder[] = [];
    for (const run of admitted) this.#start(run, nowMs, orders);
    this.#post(orders);
  }

  #lookAtLanesLater(): void {
    const { clock, admission } = this.#options;
    this.#laneLook ??= clock.after(laneLookMs, () => {
      this.#laneLook = undefined;
      this.#moveLanes(clock.monotonicMs());
      if (admission.waiting > 0) this.#lookAtLanesLater();
    });
  }

  /** Takes everything that is idle out of lanes and lists; who calls it settles them. */
  #withdrawIdle(): Work[] {
    const { admission, inFlight } = this.#options;
    admission.expire(() => true);
    this.#stalled = [];
    this.#laneLook?.cancel();
    this.#laneLook = undefined;
    return [...inFlight.works()].filter((work) => work.isIdle);
  }

  /** 12. A delivery has ended: its followers learn from it, its place comes free. */
  ended(work: Work, outcome: FinalOutcome): void {
    const { clock, telemetry, inFlight } = this.#options;
    telemetry.settled(outcome, work.skillName, Math.max(0, clock.wallMs() - work.delivery.enqueuedAtMs));
    inFlight.remove(work);
    this.#decided(work);
    if (work.followers !== undefined) for (const follower of work.followers) if (follower.stage === "following") this.#followed(follower, work, outcome);
  }

  #followed(follower: Work, owner: Work, outcome: FinalOutcome): void {
    switch (outcome) {
      case "completed":
      case "duplicate":
        this.#options.settler.absorb(follower, new Uint8Array(0));
        return;
      // A copy of the first delivery carries the event on. This may be that very copy, so it is not completed.
      case "retried":
      case "postponed":
        this.#postpone(follower, "held", owner.copyDelayMs);
        return;
      case "dead-lettered":
      case "released":
      case "dropped": {
        if (this.#stopping) return this.#release(follower);
        const next = this.#options.inFlight.ownerOf(follower);
        if (next === undefined) this.#claim(follower);
        else this.#follow(follower, next);
        return;
      }
    }
  }

  #release(work: Work): void {
    this.#options.settler.fail(work, { kind: "release" });
  }

  #refuse(work: Work, invalid: Invalid): void {
    this.#options.settler.fail(work, { kind: "dead-letter", state: "dead", reason: invalid.reason, description: invalid.description });
  }
}

function kindsOf(skills: SkillTable): readonly (readonly number[])[] {
  return [...new Map(skills.policies.map(({ uses }) => [uses.toSorted((one, other) => one - other).join(), uses])).values()];
}

function orderFor(work: Work, nowMs: number): RunOrder {
  const { route, skill, delivery } = work;
  if (route === undefined || skill === undefined) throw new TypeError("expected a routed message to be posted");
  return {
    runId: work.runId,
    skill: skill.name,
    route,
    body: delivery.body,
    contentEncoding: work.contentEncoding,
    headers: work.headers,
    epoch: work.epoch,
    attempt: work.attempts + work.retriesInPlace,
    generation: work.generation,
    leaseMs: work.leaseUntilMs - nowMs,
    timeoutMs: skill.timeoutMs,
    steps: work.steps,
    pipelineChanged: work.pipelineChanged,
  };
}
