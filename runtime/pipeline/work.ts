import type { Timer } from "../core/clock.ts";
import { noFraction } from "../core/fractions.ts";
import type { Verdict } from "../core/compensation.ts";
import type { Death } from "../core/death.ts";
import type { Delivery, HeaderValue } from "../core/delivery.ts";
import type { Route } from "../core/event-envelope.ts";
import type { LimitScope } from "../core/limits.ts";
import { enqueuedFirstMs, postponementsOf } from "../core/copy.ts";
import type { CallReport } from "../core/outcome.ts";
import { readEventIdHeader } from "../core/read-route.ts";
import { type ScopeField, readScope } from "../core/read-scope.ts";
import type { StepRecord } from "../core/run.ts";
import type { SkillPolicy } from "../core/skill.ts";
import { countedPostponements } from "../policy/backoff.ts";
import type { ByteBudget } from "../policy/byte-budget.ts";
import type { SkillIntake } from "../policy/skill-slots.ts";
import type { Turn } from "./session-turn.ts";
import type { TraceParent } from "../core/trace-context.ts";
import type { Source } from "./source.ts";
import type { DeliveryTrace, ReceivedBatch } from "./delivery-trace.ts";

/**
 * Where a delivery is on its way:
 *
 *   routing → claiming ⇄ held ◀──(no copy can be sent)── recording
 *      │         │                                     executing ⇄ pausing
 *      │         └──▶ waiting (in a lane) ──────────────▲  │
 *      │              ready (for the turn of its source) ─┤  │
 *      │              stalled (the store is down) ──────┘  └──▶ recording → settling → gone
 *      │              isolated (it must be the only one) ──────┘
 *      └──▶ following (another delivery of the event is here) → claiming | settling
 *
 * `waiting`, `ready`, `held`, `pausing`, `stalled`, `isolated` and `following` are idle: nothing of it is under way anywhere.
 */
export type Stage =
  | "routing"
  | "claiming"
  | "following"
  | "held"
  | "waiting"
  | "ready"
  | "stalled"
  | "isolated"
  | "executing"
  | "pausing"
  | "recording"
  | "settling"
  | "gone";

const noUses: readonly number[] = [];
const noSteps: readonly StepRecord[] = [];
const noCalls: readonly CallReport[] = [];

/** As messages, and as the bytes that are recorded. */
const copiesOfOutbox = 2;

function bytesOf(steps: readonly StepRecord[]): number {
  let bytes = 0;
  for (const { result } of steps) bytes += result.byteLength;
  return bytes;
}

/** One delivery on its way through the worker, with all that is known of it. One object a message, reused for every stage. */
export class Work {
  /** Of its current or next execution; unique on this worker. */
  runId: number;
  readonly source: Source;
  readonly delivery: Delivery;
  /** When the lock surely ends, monotonic; renewing moves it. */
  lockUntilMs: number;
  /** When the lease surely ends, monotonic; of meaning once it is claimed. */
  leaseUntilMs: number = noFraction;
  stage: Stage = "routing";
  /** Of its session, where it is one of a session's messages: it has no copy, and whatever it waits for it waits here. */
  turn: Turn<Work> | undefined = undefined;
  route: Route | undefined = undefined;
  contentEncoding: string | undefined = undefined;
  /** What the thread needs of the message beside its body. */
  headers: Readonly<Record<string, HeaderValue>> | undefined = undefined;
  payloadHash = "";
  skill: SkillPolicy | undefined = undefined;
  /** The claim's epoch; 0 while not claimed. */
  epoch = 0;
  /** From the claim: earlier claims whose execution ended in a failure. */
  failures = 0;
  /** From the claim: executions that ended with their worker or thread. */
  losses = 0;
  /** Executions under this claim that ended their thread by themselves. */
  lossesHere = 0;
  /** It is tried in a thread of its own. */
  isApart = false;
  /** Number of its last execution, as the skill sees it and every log line tells it; 0 while none has begun. */
  attempt = 0;
  /** How often it was posted to a thread under this claim. */
  posts = 0;
  /** From the claim: how often the event was brought back after it was given up. */
  generation = 0;
  /** From the claim: how often it was started over; what the keys of its effects are made with. */
  restarts = 0;
  /** Why it is given up, or was before; undefined while it is not. */
  death: Death | undefined = undefined;
  /** What may bring it back has been asked for. */
  hasAskedToRevive = false;
  steps: readonly StepRecord[] = noSteps;
  pipelineChanged = false;
  /** Why the run has failed for good, once it has: it is compensated. */
  verdict: Verdict | undefined = undefined;
  /** Retries in place under earlier claims. */
  retriesBefore = 0;
  /** Executions under this claim, without those that were lost; those past the first are retries in place. */
  executions = 0;
  /** An execution under this claim failed: it counts as an attempt, whatever comes of the retry. */
  hasFailed = false;
  /** Steps on their way to the store. */
  stepsPending = 0;
  /** Counts what is held of it beside its message; undefined once it is here no more. */
  budget: Pick<ByteBudget, "grew"> | undefined = undefined;
  /** As it was counted there. */
  besideBytes = 0;
  /** Of these, what it sends, once. */
  outboxBytes = 0;
  /** It waits in place, for long perhaps, and is counted as what does with so many bytes. */
  isResting = false;
  restingBytes = 0;
  /** How many were sent there, over all its executions here. */
  records = 0;
  /** What it counts for; undefined before its skill is known. */
  intake: SkillIntake<Work> | undefined = undefined;
  /** It is one of the runs of its skill that are under way. */
  hasSlot = false;
  /** When its skill was known, it was claimed, and its execution ended, monotonic; of meaning once it counts for one. */
  cameMs: number = noFraction;
  claimedMs: number = noFraction;
  ranMs: number = noFraction;
  /** When it began to wait in a lane, monotonic. */
  waitingSinceMs: number = noFraction;
  /** In lanes, under this claim. */
  waitedMs: number = noFraction;
  /** What it waited for last, under this claim; empty for nothing. */
  waitedFor = "";
  /** How often its lease was extended under this claim. */
  renewals = 0;
  /** How the calls of its last execution went. */
  calls: readonly CallReport[] = noCalls;
  /** The same of the execution that its verdict is about; undefined where it has none, or another worker had it then. */
  failedCalls: readonly CallReport[] | undefined;
  lockLost = false;
  /** It was called off while it was here: nothing of it begins any more. */
  isCancelled = false;
  /** It was shed too often: it is dead-lettered unless something of its event has begun. */
  isSurplus = false;
  /** Whether it can be admitted is not known yet. */
  isUndecided = true;
  /** How often it was put off here. */
  postponedHere = 0;
  /** A renewal of its lock is in flight. */
  isRenewing = false;
  /** An extension of its lease is on its way to the store. */
  isExtending = false;
  /** How long after it the copy comes that carries it on; 0 while there is none. */
  copyDelayMs = 0;
  /** The message id of that copy; undefined while there is none. */
  copyId: string | undefined = undefined;
  /** What it came with, where deliveries are traced. */
  batch: ReceivedBatch | undefined = undefined;
  /** What its message says of the span that made it, where deliveries are traced. */
  traceparent: string | undefined = undefined;
  /** The id of the span that stands for the delivery, once somebody asked for it; empty before. */
  spanId = "";
  /** What is told of it; undefined while it is not told of. */
  trace: DeliveryTrace | undefined = undefined;
  /** Ends the wait for its next claim here; undefined while it has none. */
  wait: Timer | undefined = undefined;
  /** Deliveries of the same event that wait for this one to end; undefined while there are none. */
  followers: Work[] | undefined = undefined;
  #scopes: Map<ScopeField, string> | undefined = undefined;

  constructor(runId: number, source: Source, delivery: Delivery, lockUntilMs: number) {
    this.runId = runId;
    this.source = source;
    this.delivery = delivery;
    this.lockUntilMs = lockUntilMs;
  }

  /** A compensation waits for its slots: its tries are counted. */
  get mayBeRejected(): boolean {
    return this.verdict === undefined;
  }

  get uses(): readonly number[] {
    return this.skill?.uses ?? noUses;
  }

  /** The event's own; empty when it could not be read. A message's id may be that of a copy, and says nothing to who looks for the event. */
  get eventId(): string {
    return this.route?.eventId ?? eventIdOfHeaders(this.delivery) ?? "";
  }

  get span(): TraceParent | undefined {
    return this.batch?.spanOf(this);
  }

  get consumer(): string {
    return this.source.consumer;
  }

  get skillName(): string {
    return this.skill?.name ?? "";
  }

  /** What limits count it by; read from the message when one asks first. */
  limitKey(by: LimitScope): string {
    if (by === "skill") return this.skillName;
    this.#scopes ??= new Map();
    const field = by === "tenant" ? "tenantId" : "projectId";
    const known = this.#scopes.get(field);
    if (known !== undefined) return known;
    const { delivery, route, contentEncoding, headers } = this;
    const value = route === undefined ? "" : (readScope({ delivery, route, contentEncoding, headers }, field) ?? "");
    this.#scopes.set(field, value);
    return value;
  }

  /** Counts an execution that begins, and numbers it: 1 for the first of the run, whoever carried out those before. */
  begin(): void {
    this.executions += 1;
    this.posts += 1;
    this.attempt = this.attempts + this.losses + this.lossesHere + this.retriesInPlace;
  }

  /** Number of the claim among those whose execution ended in a failure, if it does; 1 for the first. */
  get attempts(): number {
    return this.failures + 1;
  }

  get retriesInPlace(): number {
    return this.retriesBefore + Math.max(0, this.executions - 1);
  }

  /** How often its message was put off without being tried. */
  get postponements(): number {
    return postponementsOf(this.delivery) + this.postponedHere;
  }

  /** Those that lengthen its next pause, by the broker's time. */
  countedPostponements(brokerNowMs: number): number {
    return countedPostponements(this.postponements, brokerNowMs - enqueuedFirstMs(this.delivery));
  }

  /** What becomes of it is decided. */
  get isOnItsWayOut(): boolean {
    return this.stage === "recording" || this.stage === "settling" || this.stage === "gone";
  }

  /** What comes next is a claim of its own; what was spent on retries in place stays spent. */
  endClaim(): void {
    this.retriesBefore = this.retriesInPlace;
    this.executions = 0;
    this.lossesHere = 0;
    this.hasFailed = false;
    this.isCancelled = false;
    this.waitedMs = 0;
    this.waitedFor = "";
    this.renewals = 0;
    this.calls = noCalls;
    this.epoch = 0;
  }

  /** So much more of it is held than its message: results of steps, what it sends. */
  holdsMore(bytes: number): void {
    if (bytes === 0 || this.budget === undefined) return;
    this.besideBytes += bytes;
    this.budget.grew(bytes);
  }

  /** Nothing of it is under way: it can be handed back at once. */
  get isIdle(): boolean {
    return (
      this.stage === "waiting" ||
      this.stage === "ready" ||
      this.stage === "held" ||
      this.stage === "pausing" ||
      this.stage === "stalled" ||
      this.stage === "isolated"
    );
  }

  /** What it sends, as it is recorded; it is here as messages, too. */
  holdsOutbox(outbox: Uint8Array): Uint8Array {
    this.holdsMore((outbox.byteLength - this.outboxBytes) * copiesOfOutbox);
    this.outboxBytes = outbox.byteLength;
    return outbox;
  }

  /** Steps that are recorded with its end. */
  holdsSteps(steps: readonly StepRecord[]): void {
    this.holdsMore(bytesOf(steps));
  }

  /** Its claim tells of the steps of earlier executions. */
  goesOnFrom(steps: readonly StepRecord[]): void {
    if (steps.length + this.steps.length > 0) this.holdsMore(bytesOf(steps) - bytesOf(this.steps));
    this.steps = steps;
  }

  /** Remembers a durable step, so that a retry in place does not run it again. Its result was counted as it came. */
  recordStep(step: StepRecord): void {
    const others = this.steps.filter((known) => known.name !== step.name);
    if (others.length < this.steps.length) this.holdsMore(bytesOf(others) - bytesOf(this.steps));
    this.steps = [...others, step];
  }
}

/** What cannot even be looked at has no event id. */
function eventIdOfHeaders(delivery: Delivery): string | undefined {
  try {
    return readEventIdHeader(delivery);
  } catch {
    return undefined;
  }
}
