/**
 * The journey of a batch, from arrival to settlement:
 *
 *   arrive → route → follow (another delivery of the event is here) → claim → admit → post → [checkpoint …] → conclude → settle
 *
 * This file owns every branch; what is decided stands in policy/, what is done to the outside in settle.ts and the ports.
 */
import { hash } from "node:crypto";
import type { Clock, Random } from "../core/clock.ts";
import { postponementsOf } from "../core/copy.ts";
import type { Delivery, HeaderValue } from "../core/delivery.ts";
import type { Invalid, Route } from "../core/event-envelope.ts";
import type { Outcome } from "../core/outcome.ts";
import type { PostponeReason, Settlement } from "../core/settlement.ts";
import { defaultRetryPolicy, type SkillTable } from "../core/skill.ts";
import type { Admission } from "../policy/admission.ts";
import { postponeDelayMs } from "../policy/backoff.ts";
import { classify } from "../policy/classify.ts";
import { decide } from "../policy/recoverability.ts";
import type { RetryBudget } from "../policy/retry-budget.ts";
import type { Executor, RunOrder, RunResult, StepAcknowledgement, StepRequest } from "../ports/executor.ts";
import type { ClaimResult, RunStore, WriteResult } from "../ports/run-store.ts";
import type { FinalOutcome, Telemetry } from "../ports/telemetry.ts";
import { GroupCommit } from "./group-commit.ts";
import type { InFlight } from "./in-flight.ts";
import { lockRemainingMs, type LockKeeper } from "./lock-keeper.ts";
import type { Settler } from "./settle.ts";
import type { StoreGate } from "./store-gate.ts";
import { Work } from "./work.ts";

/** A held claim that ends this soon is waited for here; a later one is postponed through the queue. */
export const holdHereMaxMs = 2_000;
/** A run waits this long in a lane at most before it is postponed. */
export const laneWaitMaxMs = 30_000;
/** Margin taken off a lease, for what the clocks and the way to the store may differ. */
const leaseMarginMs = 250;

export type RouteAnswer =
  | { readonly ok: true; readonly route: Route; readonly contentEncoding: string | undefined; readonly headers: Readonly<Record<string, HeaderValue>> | undefined }
  | { readonly ok: false; readonly invalid: Invalid };

export interface ProcessBatchOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly store: RunStore;
  readonly gate: StoreGate;
  readonly executor: Executor;
  readonly admission: Admission<Work>;
  readonly retryBudget: RetryBudget;
  readonly inFlight: InFlight;
  readonly keeper: LockKeeper;
  readonly settler: Settler;
  readonly skills: SkillTable;
  readonly workerId: string;
  /** Deliveries past this attempt are dead-lettered before they are looked at; below the entity's own maximum. */
  readonly deliveriesMax: number;
  readRoute(delivery: Delivery): RouteAnswer;
}

interface Checkpoint {
  readonly work: Work;
  readonly request: StepRequest;
}

export class BatchProcessor {
  readonly #options: ProcessBatchOptions;
  readonly #claims: GroupCommit<Work, ClaimResult>;
  readonly #checkpoints: GroupCommit<Checkpoint, WriteResult>;
  readonly #extensions: GroupCommit<Work, WriteResult>;
  #lastRunId = 0;
  #stopping = false;

  constructor(options: ProcessBatchOptions) {
    const { store, clock, gate, keeper } = options;
    this.#options = options;
    this.#claims = new GroupCommit({
      clock,
      gate,
      write: (works) => store.claim(works.map((work) => this.#claimRequest(work)), keeper.lockMs),
      written: (works, results) => this.#claimed(works, results),
      abandoned: (works) => works.forEach((work) => options.settler.handBack(work)),
    });
    this.#checkpoints = new GroupCommit({
      clock,
      gate,
      write: (items) => store.checkpoint(items.map(({ work, request }) => ({ eventId: work.eventId, epoch: work.epoch, step: request.step }))),
      written: (items, results) => this.#checkpointed(items, results),
      abandoned: (items) => options.executor.acknowledge(items.map(({ request }) => acknowledgement(request, "unavailable"))),
    });
    this.#extensions = new GroupCommit({
      clock,
      gate,
      write: (works) => store.extend(works.map((work) => ({ eventId: work.eventId, epoch: work.epoch })), keeper.lockMs),
      written: (works, results) => this.#extended(works, results),
      abandoned: () => undefined,
    });
  }

  /** 1–3. Stamps arrival, starts to keep the locks, reads the routes. */
  arrive(deliveries: readonly Delivery[]): void {
    const { clock, keeper, inFlight, retryBudget } = this.#options;
    const nowMs = clock.monotonicMs();
    const wallMs = clock.wallMs();
    const lockMs = lockRemainingMs(deliveries[0]?.lockedUntilMs ?? 0, wallMs);
    const works = deliveries.map((delivery) => {
      this.#lastRunId += 1;
      return new Work(this.#lastRunId, delivery, nowMs, nowMs + lockRemainingMs(delivery.lockedUntilMs, wallMs));
    });
    for (const work of works) inFlight.add(work);
    keeper.keep(works, lockMs);
    retryBudget.earn(works.length);
    for (const work of works) this.#route(work);
  }

  /** Hands back what has not begun; what executes goes on. */
  stop(): void {
    this.#stopping = true;
    const { admission, inFlight } = this.#options;
    admission.expire(() => true);
    for (const work of inFlight.all()) {
      if (work.stage === "waiting" || work.stage === "held" || work.stage === "pausing") this.#release(work);
    }
  }

  /** Asks what still executes to stop at its next step boundary. */
  interrupt(): void {
    const { inFlight, executor } = this.#options;
    executor.interrupt(executing(inFlight.all()), "interrupted");
  }

  #route(work: Work): void {
    const { delivery } = work;
    const { deliveriesMax, skills, inFlight } = this.#options;
    if (delivery.attempt > deliveriesMax) {
      this.#refuse(work, { reason: "DeliveryLimit", description: `expected at most ${deliveriesMax} deliveries, this is delivery ${delivery.attempt}: it may crash whoever reads it` });
      return;
    }
    const answer = this.#options.readRoute(delivery);
    if (!answer.ok) {
      this.#refuse(work, answer.invalid);
      return;
    }
    work.route = answer.route;
    work.contentEncoding = answer.contentEncoding;
    work.payloadHash = hash("sha1", delivery.body, "base64");
    const skill = skills.find(answer.route.eventType, answer.route.version);
    if (typeof skill === "string") {
      this.#refuse(work, unroutable(skill, answer.route));
      return;
    }
    work.skill = skill;
    const owner = inFlight.ownerOf(work);
    if (owner === undefined) this.#claim(work);
    else this.#follow(work, owner);
  }

  /** A second delivery of an event that is being worked on here waits for the first to end. */
  #follow(work: Work, owner: Work): void {
    if (work.payloadHash !== owner.payloadHash) {
      this.#refuse(work, reuse(work.eventId));
      return;
    }
    work.stage = "following";
    (owner.followers ??= []).push(work);
  }

  /** 4. Claims go out together. */
  #claim(work: Work): void {
    work.stage = "claiming";
    this.#claims.add(work);
  }

  #claimRequest(work: Work): { eventId: string; token: string; payloadHash: string; pipelineHash: string } {
    return {
      eventId: work.eventId,
      token: `${this.#options.workerId}:${work.runId}`,
      payloadHash: work.payloadHash,
      pipelineHash: work.skill?.pipelineHash ?? "",
    };
  }

  #claimed(works: readonly Work[], results: readonly ClaimResult[]): void {
    const { clock, keeper } = this.#options;
    const leaseUntilMs = clock.monotonicMs() + keeper.lockMs - leaseMarginMs;
    const orders: RunOrder[] = [];
    works.forEach((work, index) => {
      const result = results[index];
      if (result === undefined) throw new RangeError(`expected ${works.length} claim results, got ${results.length}`);
      switch (result.kind) {
        case "acquired":
          this.#acquired(work, result, leaseUntilMs, orders);
          return;
        case "done":
          this.#options.settler.absorb(work, result.outbox);
          return;
        case "dead":
          this.#options.settler.fail(work, { kind: "dead-letter", state: "dead", reason: result.reason, description: "given up before; see the run's record" });
          return;
        case "held":
          this.#hold(work, result.forMs);
          return;
        case "reused":
          this.#refuse(work, reuse(work.eventId));
          return;
      }
    });
    if (orders.length > 0) this.#options.executor.post(orders);
  }

  #acquired(work: Work, claim: Extract<ClaimResult, { kind: "acquired" }>, leaseUntilMs: number, orders: RunOrder[]): void {
    work.epoch = claim.epoch;
    work.attempts = claim.attempts;
    work.generation = claim.generation;
    work.steps = claim.steps;
    work.leaseUntilMs = leaseUntilMs;
    work.pipelineChanged = claim.pipelineHash !== work.skill?.pipelineHash && claim.steps.length > 0;
    if (claim.steps.length > 0) {
      this.#options.telemetry.emit({ type: "run.resumed", eventId: work.eventId, skill: work.skillName, stepsDone: claim.steps.length, epoch: claim.epoch });
    }
    this.#admit(work, orders);
  }

  /** Another worker has it: wait here if that is short, else come again later. */
  #hold(work: Work, forMs: number): void {
    const { clock, random, settler } = this.#options;
    if (this.#stopping || forMs > holdHereMaxMs) {
      settler.fail(work, { kind: "postpone", why: "held", delayMs: postponeDelayMs(0, forMs, random) });
      return;
    }
    work.stage = "held";
    clock.after(forMs + 1, () => {
      if (work.stage === "held") this.#claim(work);
    });
  }

  /** 6. Slots of all dependencies, a place in a lane, or later. */
  #admit(work: Work, orders: RunOrder[]): void {
    const { admission, clock, settler } = this.#options;
    if (this.#stopping || work.lockLost) {
      settler.fail(work, { kind: work.lockLost ? "drop" : "release" });
      return;
    }
    const nowMs = clock.monotonicMs();
    const answer = admission.admit(work, nowMs);
    switch (answer.kind) {
      case "admitted":
        orders.push(this.#order(work, nowMs));
        return;
      case "waiting":
        work.stage = "waiting";
        work.waitingSinceMs = nowMs;
        return;
      case "postponed":
        this.#postpone(work, answer.why, answer.atLeastMs);
        return;
    }
  }

  #postpone(work: Work, why: PostponeReason, atLeastMs: number): void {
    const { settler, random } = this.#options;
    settler.fail(work, { kind: "postpone", why, delayMs: postponeDelayMs(postponementsOf(work.delivery), atLeastMs, random) });
  }

  /** 7. What a thread needs to execute the run. */
  #order(work: Work, nowMs: number): RunOrder {
    const { route, skill, delivery } = work;
    if (route === undefined || skill === undefined) throw new TypeError("expected a routed message to be posted");
    work.stage = "executing";
    return {
      runId: work.runId,
      skill: skill.name,
      route,
      body: delivery.body,
      contentEncoding: work.contentEncoding,
      headers: route.form === "cloudevents-binary" ? delivery.headers() : undefined,
      epoch: work.epoch,
      attempt: work.attempts + work.retriesHere,
      generation: work.generation,
      leaseMs: work.leaseUntilMs - nowMs,
      timeoutMs: skill.timeoutMs,
      steps: work.steps,
      pipelineChanged: work.pipelineChanged,
    };
  }

  /** 8. Steps go to the store together; nothing goes on before its step is durable. */
  checkpoint(requests: readonly StepRequest[]): void {
    for (const request of requests) {
      const work = this.#options.inFlight.get(request.runId);
      if (work === undefined) this.#options.executor.acknowledge([acknowledgement(request, "stale")]);
      else this.#checkpoints.add({ work, request });
    }
  }

  #checkpointed(items: readonly Checkpoint[], results: readonly WriteResult[]): void {
    const acknowledgements = items.map(({ work, request }, index) => {
      const result = results[index] ?? "stale";
      if (result === "written") work.recordStep(request.step);
      return acknowledgement(request, result);
    });
    this.#options.executor.acknowledge(acknowledgements);
  }

  /** The keeper renewed these locks: the leases follow. */
  renewed(works: readonly Work[]): void {
    for (const work of works) if (work.epoch > 0) this.#extensions.add(work);
  }

  #extended(works: readonly Work[], results: readonly WriteResult[]): void {
    const { executor, clock, keeper } = this.#options;
    const leaseMs = keeper.lockMs - leaseMarginMs;
    const leaseUntilMs = clock.monotonicMs() + leaseMs;
    const held = works.filter((_, index) => results[index] === "written");
    for (const work of held) work.leaseUntilMs = leaseUntilMs;
    executor.extend(executing(held), leaseMs);
    executor.interrupt(executing(works.filter((_, index) => results[index] === "stale")), "stale");
  }

  /** A lock is gone: the run stops at its next step, what waits is dropped where it stands. */
  lockLost(work: Work): void {
    const { telemetry, executor, settler } = this.#options;
    telemetry.emit({ type: "lock.lost", eventId: work.eventId, where: "renew" });
    if (work.stage === "executing") executor.interrupt([work.runId], "interrupted");
    if (work.stage === "held" || work.stage === "pausing") settler.fail(work, { kind: "drop" });
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
    this.#admitNext(nowMs);
  }

  #settle(work: Work, outcome: Outcome): void {
    const { settler, retryBudget, random } = this.#options;
    if (outcome.kind === "succeeded") {
      settler.succeed(work, outcome.outbox);
      return;
    }
    const history = {
      attempts: work.attempts,
      retriesHere: work.retriesHere,
      postponements: postponementsOf(work.delivery),
      lockLost: work.lockLost,
      stopping: this.#stopping,
    };
    const settlement = decide(outcome, history, work.skill?.retry ?? defaultRetryPolicy, () => retryBudget.spend(), random);
    if (settlement.kind === "retry-now") this.#retryHere(work, settlement);
    else if (settlement.kind !== "complete") settler.fail(work, settlement);
  }

  #retryHere(work: Work, settlement: Extract<Settlement, { kind: "retry-now" }>): void {
    const { clock, telemetry, executor } = this.#options;
    work.retriesHere += 1;
    work.stage = "pausing";
    telemetry.emit({ type: "run.retrying", eventId: work.eventId, skill: work.skillName, attempt: work.attempts + work.retriesHere, delayMs: settlement.delayMs, code: settlement.code });
    clock.after(settlement.delayMs, () => {
      if (work.stage !== "pausing") return;
      const orders: RunOrder[] = [];
      this.#admit(work, orders);
      if (orders.length > 0) executor.post(orders);
    });
  }

  /** Slots came free: the lanes move on. */
  #admitNext(nowMs: number): void {
    const { admission, executor } = this.#options;
    const next = admission.next(nowMs);
    for (const { run, atLeastMs } of next.postponed) this.#postpone(run, "circuit-open", atLeastMs);
    for (const late of admission.expire((run) => nowMs - run.waitingSinceMs > laneWaitMaxMs)) this.#postpone(late, "lane-full", 0);
    if (next.admitted.length === 0) return;
    const usable = next.admitted.filter((work) => !work.lockLost);
    for (const work of next.admitted) if (work.lockLost) this.#dropAdmitted(work, nowMs);
    if (usable.length > 0) executor.post(usable.map((work) => this.#order(work, nowMs)));
  }

  #dropAdmitted(work: Work, nowMs: number): void {
    this.#options.admission.leave(work, [], nowMs);
    this.#options.settler.fail(work, { kind: "drop" });
  }

  /** 12. A delivery has ended: its followers learn from it, its place comes free. */
  ended(work: Work, outcome: FinalOutcome): void {
    const { clock, telemetry, inFlight, keeper } = this.#options;
    telemetry.settled(outcome, work.skillName, Math.max(0, clock.wallMs() - work.delivery.enqueuedAtMs));
    keeper.forget(work);
    inFlight.remove(work);
    if (work.followers !== undefined) for (const follower of work.followers) this.#followed(follower, outcome);
  }

  #followed(follower: Work, outcome: FinalOutcome): void {
    const { settler, inFlight, random } = this.#options;
    if (follower.lockLost) {
      settler.fail(follower, { kind: "drop" });
    } else if (outcome === "completed" || outcome === "duplicate") {
      settler.absorb(follower, new Uint8Array(0));
    } else if (this.#stopping) {
      this.#release(follower);
    } else if (outcome === "retried" || outcome === "postponed") {
      settler.fail(follower, { kind: "postpone", why: "held", delayMs: postponeDelayMs(postponementsOf(follower.delivery), 0, random) });
    } else {
      const owner = inFlight.ownerOf(follower);
      if (owner === undefined) this.#claim(follower);
      else this.#follow(follower, owner);
    }
  }

  #release(work: Work): void {
    this.#options.settler.fail(work, { kind: "release" });
  }

  #refuse(work: Work, invalid: Invalid): void {
    this.#options.settler.fail(work, { kind: "dead-letter", state: "dead", reason: invalid.reason, description: invalid.description });
  }
}

function executing(works: readonly Work[]): number[] {
  return works.filter((work) => work.stage === "executing").map((work) => work.runId);
}

function acknowledgement(request: StepRequest, result: StepAcknowledgement["result"]): StepAcknowledgement {
  return { runId: request.runId, requestId: request.requestId, result };
}

function reuse(eventId: string): Invalid {
  return { reason: "EventIdReuse", description: `expected one payload for eventId '${eventId}', found another; give each event an id of its own` };
}

function unroutable(why: "unknown-type" | "unsupported-version", route: Route): Invalid {
  return why === "unknown-type"
    ? { reason: "UnknownEventType", description: `expected an event type that a registered skill handles, found '${route.eventType}'` }
    : { reason: "UnsupportedVersion", description: `expected a version of '${route.eventType}' that a registered skill handles, found '${route.version}'` };
}
