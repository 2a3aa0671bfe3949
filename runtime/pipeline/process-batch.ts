/**
 * The journey of a batch, from arrival to settlement:
 *
 *   arrive → route → follow (another delivery of the event is here) → claim → admit → post → [checkpoint …] → conclude → settle
 *
 * This file owns every branch; what is decided stands in policy/, what is done to the outside in settle.ts and the ports.
 */
import { verdictOf } from "../core/compensation.ts";
import type { Clock } from "../core/clock.ts";
import { isApartOf, retriesInPlaceOf, shedReason } from "../core/copy.ts";
import type { Delivery } from "../core/delivery.ts";
import type { Invalid } from "../core/event-envelope.ts";
import { lastDeath } from "../core/history.ts";
import type { HashPayload } from "../core/payload-hash.ts";
import { isPassedBy, isProbe, probeEventType } from "../core/probe.ts";
import type { RouteResult } from "../core/read-route.ts";
import type { SkillPolicy } from "../core/skill.ts";
import { traceparentOf } from "../core/trace-context.ts";
import type { Admission } from "../policy/admission.ts";
import type { BrokerClock } from "../policy/broker-clock.ts";
import type { RetryBudget } from "../policy/retry-budget.ts";
import { restLeftMs } from "../policy/session-turns.ts";
import type { ClaimRequest, ClaimResult } from "../ports/run-store.ts";
import type { FinalOutcome, Telemetry } from "../ports/telemetry.ts";
import { eachAlone } from "./each-alone.ts";
import type { Executions } from "./executions.ts";
import { GroupCommit } from "./group-commit.ts";
import type { HandOver } from "./hand-over.ts";
import type { InFlight } from "./in-flight.ts";
import type { Intake } from "./intake.ts";
import type { Leases } from "./leases.ts";
import type { LockKeeper } from "./lock-keeper.ts";
import { Revivals, type Resends } from "./revivals.ts";
import { givenUp, overDelivered, reused, unreadable, unroutable } from "./refusals.ts";
import type { Turn } from "./session-turn.ts";
import type { Sessions } from "./sessions.ts";
import type { Settler } from "./settle.ts";
import { type Shedding, surplus } from "./shedding.ts";
import type { Source } from "./source.ts";
import type { StoreGate } from "./store-gate.ts";
import type { Suspects } from "./suspects.ts";
import type { Traces } from "./traces.ts";
import { Work } from "./work.ts";

/** Deliveries of one event that wait here for another one of it; more are postponed. */
export const followersMax = 32;
/** A held claim that ends this soon is waited for here; a later one is postponed through the queue. */
const holdHereMaxMs = 2_000;
/** How long an unclaimed run waits here for the part of the store that would hold it. */
const partHoldMaxMs = 2_000;

export interface ProcessBatchOptions {
  readonly clock: Clock;
  readonly brokerClock: BrokerClock;
  readonly telemetry: Telemetry;
  /** Undefined when nothing is traced. */
  readonly traces?: Traces | undefined;
  readonly source: Source;
  readonly gate: StoreGate;
  readonly admission: Admission<Work>;
  readonly retryBudget: RetryBudget;
  readonly inFlight: InFlight;
  readonly intake: Intake;
  readonly keeper: LockKeeper;
  readonly leases: Leases;
  readonly settler: Settler;
  readonly executions: Executions;
  readonly suspects: Suspects;
  readonly handOver: HandOver;
  readonly shedding: Shedding;
  /** What reads the entity where it requires sessions. */
  readonly sessions: () => Sessions | undefined;
  readonly workerId: string;
  readonly resends: Resends;
  readRoute(delivery: Delivery): RouteResult;
  /** A probe was not signed with the secret that is known: a store that has lost it has another by now. */
  secretDoubted(): void;
  /** Answers later for a compressed body, which is decompressed off the loop. */
  readonly hashPayload: HashPayload;
}

export class BatchProcessor {
  readonly #options: ProcessBatchOptions;
  readonly #claims: GroupCommit<Work, readonly ClaimResult[]>;
  #secret = "";
  readonly #revivals: Revivals;

  constructor(options: ProcessBatchOptions) {
    const { clock, gate } = options;
    this.#options = options;
    this.#claims = new GroupCommit({
      clock,
      gate,
      callsMax: options.source.store.callsAtOnce,
      write: (works) => this.#askClaims(works),
      written: (works, results) => this.#claimed(works, results),
      // Held for long, those of a part of the store that is down would take the places of all others.
      partHoldMaxMs,
      abandoned: (works, why) => works.forEach((work) => this.#unclaimed(work, why)),
    });
    this.#revivals = new Revivals({
      ...options,
      store: options.source.store,
      claim: (work) => this.#claims.add(work),
      handBack: (work, why) => options.settler.handBack(work, why),
      broken: (work, error) => options.settler.broken(work, error),
    });
  }

  /** Before anything else. `secret` is the consumer's. */
  start(secret: string): void {
    this.#secret = secret;
    this.#revivals.start(secret);
  }

  /** 1–3. Starts to keep the locks, reads the routes. `wasAwaited`: the receiver had credit and nothing to do. `turn`: of the session that it is the next message of. */
  arrive(deliveries: readonly Delivery[], wasAwaited: boolean, turn?: Turn<Work>): void {
    const { clock, brokerClock, keeper, inFlight, intake, retryBudget, shedding, source } = this.#options;
    const last = deliveries.at(-1);
    if (last !== undefined) brokerClock.received(last, wasAwaited);
    const nowMs = clock.monotonicMs();
    const brokerNowMs = brokerClock.nowMs();
    retryBudget.earn(deliveries.length, nowMs);
    if (last !== undefined) shedding.arrived(last, brokerNowMs);
    const batch = this.#options.traces?.received(source, deliveries.length);
    for (let index = 0; index < deliveries.length; index += 1) {
      const delivery = deliveries[index]!;
      const lockMs = brokerClock.lockLeftMs(delivery.lockedUntilMs, brokerNowMs);
      const work = new Work(inFlight.nextRunId(), source, delivery, nowMs + lockMs);
      if (batch !== undefined) work.batch = batch;
      if (turn !== undefined) {
        work.turn = turn;
        turn.work = work;
      }
      keeper.arrived(source, lockMs);
      inFlight.add(work);
      intake.arrived(work);
      this.#routeAlone(work);
    }
  }

  #routeAlone(work: Work): void {
    try {
      this.#route(work);
    } catch (error) {
      this.#options.settler.broken(work, error);
    }
  }

  #route(work: Work): void {
    const { delivery } = work;
    const { source, executions, suspects, inFlight, intake } = this.#options;
    const { deliveriesMax, skills } = source;
    if (!executions.mayBegin || suspects.excludes(work)) return executions.putBack(work);
    if (delivery.attempt > deliveriesMax) return this.#refuseUnseen(work, overDelivered(deliveriesMax, delivery.attempt));
    const answer = this.#readRoute(delivery);
    if (!answer.ok) return this.#refuse(work, answer.invalid);
    work.route = answer.route;
    const { eventType, version } = answer.route;
    const skill = eventType === probeEventType && !this.#isOwnProbe(work) ? "unknown-type" : skills.find(eventType, version);
    if (typeof skill === "string") return this.#refuse(work, unroutable(skill, answer.route, skills));
    work.contentEncoding = answer.contentEncoding;
    work.headers = answer.headers;
    // While its properties are at hand: to go back to them costs more than to look.
    if (work.batch !== undefined) work.traceparent = traceparentOf(delivery, answer.headers);
    inFlight.routed(work, skill);
    if (intake.isOverfull(work, skill) && this.#mayBeLeft(work, skill)) {
      intake.left(work, skill);
      return executions.leaveToOthers(work);
    }
    const payloadHash = this.#options.hashPayload(delivery.body, answer);
    if (typeof payloadHash === "string") this.#identified(work, skill, payloadHash);
    else payloadHash.then((hash) => this.#unpacked(work, skill, hash)).catch((error: unknown) => this.#options.settler.broken(work, error));
  }

  /** Nothing else would become of it if more of it were read: no delivery of its event is here, and nothing says how long it has to wait. */
  #mayBeLeft(work: Work, { uses }: SkillPolicy): boolean {
    const { inFlight, admission, clock, shedding } = this.#options;
    if (inFlight.isOwned(work) || shedding.isActive) return false;
    return uses.length === 0 || admission.refuses(work, clock.monotonicMs()) === undefined;
  }

  #isOwnProbe(work: Work): boolean {
    const isOwn = isProbe(this.#secret, work);
    if (!isOwn) this.#options.secretDoubted();
    return isOwn;
  }

  /** The hash of a compressed payload is there; meanwhile the lock may have been lost, or the worker begun to stop. */
  #unpacked(work: Work, skill: SkillPolicy, payloadHash: string): void {
    const { executions, settler, suspects } = this.#options;
    if (work.lockLost) settler.fail(work, { kind: "drop" });
    else if (!executions.mayBegin || suspects.excludes(work)) executions.putBack(work);
    else this.#identified(work, skill, payloadHash);
  }

  /** It is known which event this is: its id, and its payload by its hash. */
  #identified(work: Work, skill: SkillPolicy, payloadHash: string): void {
    const { inFlight, admission, clock, executions, shedding } = this.#options;
    work.payloadHash = payloadHash;
    const owner = inFlight.ownerOf(work);
    if (owner !== undefined) return this.#follow(work, owner);
    // What cannot be admitted anyway need not be claimed first.
    const refused = skill.uses.length === 0 ? undefined : admission.refuses(work, clock.monotonicMs());
    if (refused !== undefined) executions.postpone(work, refused.why, refused);
    else if (shedding.isActive && shedding.sheds(work, skill)) executions.postpone(work, shedReason);
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
    const { executions, inFlight } = this.#options;
    if (work.payloadHash !== owner.payloadHash) return this.#claim(work);
    owner.followers ??= [];
    if (owner.followers.length >= followersMax || isResting(owner)) return executions.postpone(work, "held");
    work.stage = "following";
    owner.followers.push(work);
    inFlight.decided(work);
  }

  /** 4. Claims go out together, of messages that their skill can begin soon. */
  #claim(work: Work): void {
    const { executions } = this.#options;
    if (work.turn?.isFresh === true) return this.#lookBack(work, work.turn);
    if (work.skill !== undefined && work.intake === undefined && !executions.take(work, work.skill)) return executions.leaveToOthers(work);
    work.stage = "claiming";
    this.#claims.add(work);
  }

  /** Whoever had its session before may have let go of it while this message waited: it waits on. */
  #lookBack(work: Work, turn: Turn<Work>): void {
    turn.isFresh = false;
    work.stage = "claiming";
    this.#options.source.store
      .read(work.eventId)
      .then(restLeftMs, () => 0)
      .then((leftMs) => {
        if (leftMs > 0) this.waitHere(work, leftMs);
        else this.#claim(work);
      })
      .catch((error: unknown) => this.#options.settler.broken(work, error));
  }

  /** While the rest of the store answers, its message is postponed without counting a delivery: the gate, which stops receiving, is for the whole store. */
  #unclaimed(work: Work, why: "down" | "refused"): void {
    const { settler, executions, gate } = this.#options;
    if (why === "down" && !gate.hasGivenUp && executions.mayBegin) executions.postpone(work, "store-down");
    else settler.handBack(work, why);
  }

  #askClaims(works: readonly Work[]): Promise<readonly ClaimResult[]> {
    const { source, leases, workerId } = this.#options;
    const { leaseMs, untilMs } = leases.ask(source);
    const requests = works.map((work): ClaimRequest => {
      work.leaseUntilMs = untilMs;
      return { eventId: work.eventId, token: `${workerId}:${work.runId}`, payloadHash: work.payloadHash, pipelineHash: work.skill?.pipelineHash ?? "" };
    });
    return source.store.claim(requests, leaseMs);
  }

  #claimed(works: readonly Work[], results: readonly ClaimResult[]): void {
    const acquired: Work[] = [];
    const take = (work: Work, index: number): void => {
      const result = results[index];
      if (result === undefined) throw new RangeError(`expected ${works.length} claim results, got ${results.length}`);
      if (this.#isAcquired(work, result)) acquired.push(work);
    };
    eachAlone(works, take, (work, error) => this.#options.settler.broken(work, error));
    if (acquired.length > 0) this.#options.executions.admit(this.#options.suspects.sift(acquired));
  }

  /** 5. What the store says of the run: whether this worker executes it; if not, what becomes of the message is decided here. */
  #isAcquired(work: Work, result: ClaimResult): boolean {
    const { settler } = this.#options;
    if (result.kind === "acquired") this.#acquired(work, result);
    if (this.#revivals.asksFor(work, result)) return false;
    switch (result.kind) {
      case "acquired":
        return !this.#isOrderedToEnd(work) && !this.#isSurplus(work);
      case "done":
        settler.absorb(work, work.holdsOutbox(result.outbox));
        return false;
      case "dead":
        work.death = lastDeath(result.history);
        settler.fail(work, { kind: "dead-letter", state: "dead", reason: result.reason, description: givenUp(work.eventId, result.reason, result.history) });
        return false;
      case "held":
        this.#hold(work, result.forMs);
        return false;
      case "reused":
        this.#refuse(work, reused(work.eventId));
        return false;
    }
  }

  /** A message that was sent to have a run compensated runs nothing forward. */
  #isOrderedToEnd(work: Work): boolean {
    if (work.epoch === 1 || work.verdict !== undefined) return false;
    const order = this.#options.handOver.orderOf(work);
    if (order === undefined) return false;
    const { reason, description } = order;
    this.#options.settler.fail(work, { kind: "dead-letter", state: "dead", reason: reason || "CompensationFailed", description });
    return true;
  }

  /** It was shed too often, and nothing of it has begun anywhere. */
  #isSurplus(work: Work): boolean {
    if (!work.isSurplus || work.epoch > 1) return false;
    this.#options.settler.fail(work, surplus(work));
    return true;
  }

  #acquired(work: Work, claim: Extract<ClaimResult, { kind: "acquired" }>): void {
    const { epoch, failures, losses, generation, restarts, steps, pipelineHash } = claim;
    work.epoch = epoch;
    work.failures = failures;
    work.losses = losses;
    work.generation = generation;
    work.restarts = restarts;
    work.goesOnFrom(steps);
    work.isApart = losses > 1 || (failures > 0 && isApartOf(work.delivery));
    if (failures > 0) work.retriesBefore = Math.max(work.retriesBefore, retriesInPlaceOf(work.delivery, work.skill?.retry.immediateMax ?? 0));
    work.verdict = steps.length > 0 ? verdictOf(steps) : undefined;
    work.pipelineChanged = steps.length > 0 && pipelineHash !== work.skill?.pipelineHash;
  }

  /** Another worker has it: wait here if that is short, else return later. */
  #hold(work: Work, forMs: number): void {
    const { executions, suspects } = this.#options;
    if (work.lockLost || !executions.mayBegin || suspects.excludes(work)) return executions.putBack(work);
    if (forMs > holdHereMaxMs) return executions.postpone(work, "held", { atLeastMs: forMs, atMostMs: forMs });
    this.#keep(work, forMs);
  }

  /** Its last claim has ended and only this delivery carries the event on: it stays, under its lock, and is claimed again. */
  waitHere(work: Work, delayMs: number): void {
    const { settler, executions, inFlight, suspects } = this.#options;
    inFlight.renumber(work);
    work.endClaim();
    suspects.claimEnded(work);
    if (work.lockLost) return settler.fail(work, { kind: "drop" });
    // Without a copy a release counts a delivery where it is not free: there is no other way now.
    if (!executions.mayBegin || suspects.excludes(work)) return settler.release(work);
    this.#keep(work, delayMs);
    if (work.turn !== undefined) this.#putOffFollowers(work, delayMs);
  }

  /** Of a message that waits in place: theirs may be other sessions, which need not wait for it with a place each. */
  #putOffFollowers(work: Work, delayMs: number): void {
    const { executions, settler } = this.#options;
    const followers = work.followers?.filter(({ stage }) => stage === "following") ?? [];
    work.followers = undefined;
    const putOff = (follower: Work): void => executions.postpone(follower, "held", { atLeastMs: delayMs });
    eachAlone(followers, putOff, (follower, error) => settler.broken(follower, error));
  }

  #keep(work: Work, forMs: number): void {
    const { clock, inFlight, intake, sessions } = this.#options;
    const { turn } = work;
    work.stage = "held";
    inFlight.decided(work);
    const goOn = (): void => {
      if (work.stage === "held") this.#take(work);
    };
    if (turn === undefined) {
      work.wait = clock.after(forMs + 1, goOn);
      return;
    }
    intake.rests(work);
    work.wait = clock.after(forMs + 1, () => {
      if (work.stage === "held") sessions()?.wake(turn, goOn);
    });
    sessions()?.rest(turn, forMs);
  }

  /** A lock is lost: the run stops at its next step, what is idle is dropped at once. */
  lockLost(work: Work): void {
    const { telemetry, executions, settler } = this.#options;
    telemetry.emit({ type: "lock.lost", eventId: work.eventId, where: "renew" }, work);
    if (work.stage === "executing") executions.lose(work);
    // In a lane it is dropped when its turn or the end of its wait comes; the lane is not searched for it.
    else if ((work.isIdle && work.stage !== "waiting" && work.stage !== "ready") || work.stage === "following") settler.fail(work, { kind: "drop" });
  }

  /** 12. A delivery has ended: its followers go by how it ended, its place is free. */
  ended(work: Work, outcome: FinalOutcome): void {
    const { brokerClock, telemetry, inFlight, sessions, traces } = this.#options;
    telemetry.settled(outcome, work.skillName, Math.max(0, brokerClock.nowMs() - work.delivery.enqueuedAtMs), work);
    traces?.ended(work, outcome);
    work.wait?.cancel();
    inFlight.remove(work);
    if (work.turn !== undefined) sessions()?.ended(work.turn, outcome);
    const follow = (follower: Work): void => {
      if (follower.stage === "following") this.#followed(follower, work, outcome);
    };
    if (work.followers !== undefined) eachAlone(work.followers, follow, (follower, error) => this.#options.settler.broken(follower, error));
  }

  #followed(follower: Work, owner: Work, outcome: FinalOutcome): void {
    const { settler, executions } = this.#options;
    switch (outcome) {
      case "completed":
      case "duplicate":
        settler.absorb(follower, new Uint8Array(0));
        return;
      // A copy of the first delivery carries the event on. When this is that very copy, delivered while the first was still being
      // completed, its turn is now; when it is a further message of the event, its turn is after the copy, and it is not completed
      // before the copy has ended.
      case "retried":
      case "postponed":
        if (follower.delivery.messageId === owner.copyId) this.#succeed(follower);
        else executions.postpone(follower, "held", { atLeastMs: owner.copyDelayMs, atMostMs: owner.copyDelayMs });
        return;
      case "dead-lettered":
      case "released":
      case "dropped":
        this.#succeed(follower);
        return;
    }
  }

  /** The first of an event's deliveries has ended: this one takes its place, or follows the one that did. */
  #succeed(follower: Work): void {
    const { executions, suspects } = this.#options;
    if (!executions.mayBegin || suspects.excludes(follower)) return executions.putBack(follower);
    this.#take(follower);
  }

  #take(work: Work): void {
    const owner = this.#options.inFlight.ownerOf(work);
    if (owner === undefined) this.#claim(work);
    else this.#follow(work, owner);
  }

  /** What its run had done is found by the event's id, and compensated elsewhere. */
  #refuseUnseen(work: Work, invalid: Invalid): void {
    const { handOver, settler } = this.#options;
    const kept = handOver.keepUnseen(work, invalid);
    if (kept === undefined) this.#refuse(work, invalid);
    else kept.then(() => this.#refuse(work, invalid)).catch((error: unknown) => settler.broken(work, error));
  }

  #refuse(work: Work, { reason, description }: Invalid): void {
    const { telemetry, settler, traces } = this.#options;
    const { eventId, skillName: skill, attempt } = work;
    // Signed by a worker of this pool, of another version: no fault of anybody's.
    if (isPassedBy(reason) && isProbe(this.#secret, work)) telemetry.emit({ type: "probe.passed-by", eventId, reason, description }, work);
    else {
      traces?.failed(work, reason);
      telemetry.emit({ type: "run.failed", eventId, skill, attempt, class: "poison", code: reason, step: "", description }, work);
    }
    settler.fail(work, { kind: "dead-letter", state: "dead", reason, description });
  }
}

/** It waits in place, in its session: nobody knows for how long. */
function isResting({ turn, stage }: Work): boolean {
  return turn !== undefined && stage === "held";
}
