/**
 * Hears of failures, and escalates by the rules what there is too much of. What is decided becomes jobs of the recovery queue, one for
 * each channel: a job outlives this worker, is tried until its channel takes it, and is remembered by its rule and what it counts, so
 * that of all workers that come to the same conclusion one escalates.
 */
import { hash } from "node:crypto";
import type { RuntimeEvent } from "../core/catalogue.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { Delivery } from "../core/delivery.ts";
import { messageOf } from "../core/errors.ts";
import type { EscalationNotice, Occurrence } from "../core/escalation.ts";
import { type Lineage, lineageOf } from "../core/lineage.ts";
import { decodeOutbox, encodeOutbox } from "../core/outbox.ts";
import { isPlatformEvent } from "../core/platform-catalogue.ts";
import { reassigned, wasReassigned } from "../core/reassignment.ts";
import { redact } from "../core/redact.ts";
import type { EscalationPolicy, Reached } from "../policy/escalation.ts";
import { DeliveryError, type EscalationChannel } from "../ports/escalation-channel.ts";
import type { SharedCounts } from "../ports/shared-counts.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { JobHandler, JobResult, NewJob, RecoveryJob, RecoveryQueue } from "../ports/recovery-queue.ts";
import type { AboutEvent, AboutMessage, Reporter, Telemetry } from "../ports/telemetry.ts";
import { Tally } from "./tally.ts";

export const escalationKind = "escalation";
export const reassignmentKind = "reassignment";

const retry = { attemptsMax: 10, baseDelayMs: 1_000, delayMaxMs: 60_000 };
/** A larger message is not reassigned: it would lie in the store until it is sent. */
const reassignedBytesMax = 256 * 1024;
/** Jobs that wait for a queue that does not answer; what is more is given up, and reported. */
const pendingMax = 200;
const addAgainMs = 2_000;
/** A message that is dead-lettered waits so long for its escalations to be in the queue. */
const intentMaxMs = 3_000;

export interface EscalationsOptions {
  readonly clock: Clock;
  readonly policy: EscalationPolicy;
  readonly queue: RecoveryQueue;
  /** What the pool counts together; undefined where each worker counts alone. */
  readonly counts: SharedCounts | undefined;
  /** By name. */
  readonly channels: ReadonlyMap<string, EscalationChannel | { readonly queue: string }>;
  readonly publisher: Pick<Publisher, "send">;
  readonly telemetry: Pick<Telemetry, "emit">;
  /** Of the first source. */
  readonly consumer: string;
  readonly workerId: string;
  /** Now: ISO 8601. */
  readonly timestamp: () => string;
}

type Failure = Extract<RuntimeEvent, { type: "run.failed" | "run.dead-lettered" }>;
type EscalationEvent = Extract<RuntimeEvent, { type: `escalation.${string}` }>;
/** A failure, with what has to be known of it once its message is held no more. */
interface Heard {
  /** Names it. */
  readonly failure: string;
  /** Whose message it was: that of its source. */
  readonly consumer: string;
  readonly event: Failure;
  readonly eventType: string;
  readonly ofPlatform: boolean;
  readonly lineage: Lineage;
  /** Of a dead letter, which is held until it has been escalated. */
  readonly delivery: Delivery | undefined;
}

type Facts = Omit<Extract<EscalationEvent, { type: "escalation.sent" }>, "type" | "channel" | "attempt">;

/** What a job holds. */
interface Escalation {
  readonly channel: string;
  readonly notice: EscalationNotice;
  readonly ofPlatform: boolean;
  /** Of a message that is reassigned: as an outbox keeps it, in base64. */
  readonly message?: string;
}

interface Pending {
  readonly job: NewJob;
  readonly escalation: Escalation;
  readonly taken: { readonly resolve: () => void };
}

export class Escalations implements Telemetry, Reporter {
  readonly #options: EscalationsOptions;
  #pending: Pending[] = [];
  #adding: Promise<void> | undefined;
  #timer: Timer | undefined;
  /** Undefined until the worker runs. */
  #secret: string | undefined;
  #isStopped = false;
  #intent: Promise<void> | undefined;
  /** What ends those that are waited for. */
  readonly #intents = new Set<() => void>();
  readonly #tally: Tally<Heard>;

  constructor(options: EscalationsOptions) {
    this.#options = options;
    this.#tally = new Tally({
      counts: options.counts,
      perHourMax: options.policy.perHourMax,
      escalate: (heard, reached) => this.#escalate(heard, reached),
      changed: (by, error) => this.#emit({ type: "escalation.counting", by, error }, "", undefined),
    });
  }

  settled(): void {
    // What did not fail is not escalated.
  }

  emit(event: RuntimeEvent, about?: AboutMessage | AboutEvent): void {
    if (event.type !== "run.failed" && event.type !== "run.dead-lettered") return;
    this.#intent = undefined;
    if (about === undefined || !("delivery" in about)) return;
    try {
      this.#hear(event, about);
    } catch (error) {
      this.#emit({ type: "escalation.failed", ...blank, error: messageOf(error, 200) }, about.eventId, undefined);
    }
  }

  /** What the recovery queue is to do. */
  get handlers(): ReadonlyMap<string, JobHandler> {
    const handler: JobHandler = (job, signal) => this.#deliver(job, signal);
    return new Map([
      [escalationKind, handler],
      [reassignmentKind, handler],
    ]);
  }

  start(secret: string): void {
    this.#secret = secret;
    if (this.#options.counts === undefined) this.#emit({ type: "escalation.counting", by: "worker", error: "" }, "", undefined);
  }

  /** What is decided is brought to the queue. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#tally.stop();
    await this.#adding;
    if (this.#pending.length > 0) await this.#addAll();
    this.giveUp();
  }

  giveUp(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    for (const { escalation, taken } of this.#pending.splice(0)) {
      this.#failed(escalation, 0, true, "the worker ended before its queue had taken it");
      taken.resolve();
    }
    for (const end of this.#intents) end();
  }

  /**
   * What the dead letter that was emitted last leads to is brought to the queue; undefined where it leads to nothing. Its message is
   * settled after that, so that a worker that ends in between is told of it once more. It resolves in any case, soon.
   */
  intent(): Promise<void> | undefined {
    const intent = this.#intent;
    this.#intent = undefined;
    return intent;
  }

  #hear(event: Failure, about: AboutMessage): void {
    const { policy, clock, counts } = this.#options;
    const { class: failureClass, code, skill } = event;
    const { delivery } = about;
    const eventType = about.route?.eventType ?? "";
    const known = { on: event.type === "run.failed" ? "failure" : "dead-letter", failureClass, code, eventType, skill } as const;
    if (!policy.mayConcern(known)) return;
    const lineage = lineageOf(delivery, about.headers);
    const occurrence: Occurrence = { ...known, tenant: lineage.tenantId, project: lineage.projectId };
    const concerned = policy.concerned(occurrence);
    if (concerned.length === 0) return;
    const nowMs = clock.monotonicMs();
    const isDeath = event.type === "run.dead-lettered";
    // Which delivery it was of, and which try: told once more, it is the same failure.
    const { messageId, sequenceNumber } = delivery;
    const failure = codeOf(
      JSON.stringify([event.type, about.consumer, messageId, String(sequenceNumber), isDeath ? 0 : about.epoch, isDeath ? 0 : event.attempt]),
    );
    const ofPlatform = isPlatformEvent(delivery);
    const heard: Heard = { failure, consumer: about.consumer, event, eventType, ofPlatform, lineage, delivery: isDeath ? delivery : undefined };
    const here = concerned.map((counted) => ({ counted, reached: policy.count(counted, nowMs) }));
    const taken =
      counts === undefined
        ? this.#escalate(
            heard,
            here.flatMap(({ reached }) => reached ?? []),
          )
        : this.#tally.ask(heard, here);
    if (isDeath && taken !== undefined) this.#intent = this.#within(taken);
  }

  /** Undefined where nothing has to be brought to the queue. */
  #escalate(heard: Heard, reached: readonly Reached[]): Promise<unknown> | undefined {
    const taken = reached.flatMap((one) => this.#reached(one, heard));
    return taken.length === 0 ? undefined : Promise.all(taken);
  }

  /** A queue that does not answer keeps no message from being settled. */
  #within(taken: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#intents.delete(end);
        timer.cancel();
        resolve();
      };
      const timer = this.#options.clock.after(intentMaxMs, end);
      this.#intents.add(end);
      taken.then(end, end);
    });
  }

  #reached(reached: Reached, heard: Heard): readonly Promise<void>[] {
    const { rule, counted, due } = reached;
    const { event, lineage, ofPlatform } = heard;
    const notice = this.#noticeOf(reached, heard);
    if (due === "now") this.#emit({ type: "escalation.raised", ...factsOf(notice), channels: rule.to.join(", ") }, event.eventId, { lineage, ofPlatform });
    else if (due === "held-back") this.#emit({ type: "escalation.held-back", rule: rule.name, counted }, event.eventId, { lineage, ofPlatform });
    return rule.to.flatMap((channel) => {
      const target = this.#options.channels.get(channel);
      if (target !== undefined && "queue" in target) return this.#reassign(target.queue, { channel, notice, ofPlatform }, heard);
      return due === "now" ? [this.#add(jobOf(`${rule.name}/${channel}/${codeOf(counted)}`, { channel, notice, ofPlatform }, rule.repeatAfterMs))] : [];
    });
  }

  /** Each event of a rule whose threshold is reached, whether people hear of it or have just heard. */
  #reassign(queue: string, escalation: Escalation, { event, delivery, consumer }: Heard): readonly Promise<void>[] {
    if (delivery === undefined || event.type !== "run.dead-lettered" || this.#secret === undefined || wasReassigned(delivery)) return [];
    const { body, messageId, sequenceNumber } = delivery;
    if (body.byteLength > reassignedBytesMax) {
      this.#failed(
        escalation,
        0,
        true,
        `expected a message of at most ${reassignedBytesMax} bytes to be reassigned, found ${body.byteLength}; replay it from its dead letters`,
      );
      return [];
    }
    const message = reassigned(this.#secret, delivery, { queue, consumer, rule: escalation.notice.rule, reason: event.reason, code: event.code });
    const packed = Buffer.from(encodeOutbox([message])).toString("base64");
    const id = `${escalation.notice.rule}/${escalation.channel}/${codeOf(JSON.stringify([messageId, String(sequenceNumber), ...(consumer === this.#options.consumer ? [] : [consumer])]))}`;
    return [this.#add(jobOf(id, { ...escalation, message: packed }, keepReassignedMs, reassignmentKind))];
  }

  #noticeOf({ rule, counted, critical, count, sinceLast }: Reached, { event, eventType, lineage, consumer }: Heard): EscalationNotice {
    const { workerId, timestamp } = this.#options;
    const { eventId, attempt, skill, class: failureClass, code, step, description } = event;
    const atText = timestamp();
    return {
      id: `hfe-${codeOf(JSON.stringify([consumer, rule.name, counted, workerId, atText, eventId]))}`,
      rule: rule.name,
      counted,
      critical,
      count,
      windowMs: rule.threshold.windowMs,
      sinceLast,
      consumer,
      worker: workerId,
      timestamp: atText,
      ...lineage,
      eventId,
      eventType,
      skill,
      attempt,
      failureClass,
      code: redact(code, 128),
      step,
      description: redact(description, 1_000),
    };
  }

  /** Resolves once the queue has it, or it is given up. */
  #add(job: Omit<Pending, "taken">): Promise<void> {
    const taken = Promise.withResolvers<void>();
    if (this.#pending.length >= pendingMax) {
      this.#failed(job.escalation, 0, true, `expected at most ${pendingMax} to wait for the recovery queue, found more`);
      return Promise.resolve();
    }
    this.#pending.push({ ...job, taken });
    this.#adding ??= this.#addAll().finally(() => {
      this.#adding = undefined;
    });
    return taken.promise;
  }

  /** One after the other, until none waits or the queue does not answer; then it is asked again. */
  async #addAll(): Promise<void> {
    for (let next = this.#pending[0]; next !== undefined; next = this.#pending[0]) {
      try {
        await this.#addOne(next.job);
      } catch {
        if (this.#isStopped) return;
        this.#timer = this.#options.clock.after(addAgainMs, () => {
          this.#adding ??= this.#addAll().finally(() => {
            this.#adding = undefined;
          });
        });
        return;
      }
      this.#pending.shift()?.taken.resolve();
    }
  }

  /** One that had failed for good gives way: its channel may take this one. */
  async #addOne(job: NewJob): Promise<void> {
    const { queue } = this.#options;
    if ((await queue.add(job)) === "added") return;
    const known = await queue.find(job.kind, job.id);
    if (known?.state === "failed") await queue.add({ ...job, replacesEnded: true });
  }

  async #deliver({ kind, data, attempt }: RecoveryJob, signal: AbortSignal): Promise<JobResult> {
    const escalation = data as Escalation;
    try {
      await this.#send(kind, escalation, signal);
    } catch (error) {
      if (signal.aborted) return { kind: "again", afterMs: 0 };
      const isFinal = attempt >= retry.attemptsMax || (error instanceof DeliveryError && error.isPermanent);
      this.#failed(escalation, attempt, isFinal, messageOf(error, 500));
      if (isFinal) return done;
      throw error;
    }
    const { notice, channel, ofPlatform } = escalation;
    this.#emit({ type: "escalation.sent", ...factsOf(notice), channel, attempt }, notice.eventId, { lineage: notice, ofPlatform });
    return done;
  }

  async #send(kind: string, { channel, notice, message }: Escalation, signal: AbortSignal): Promise<void> {
    const { channels, publisher } = this.#options;
    const target = channels.get(channel);
    if (target === undefined)
      throw new DeliveryError(`expected a channel '${channel}' in the configuration, found none; it was there when this was decided`, { isPermanent: true });
    if (!("queue" in target)) return target.send(notice, signal);
    if (kind !== reassignmentKind || message === undefined)
      throw new DeliveryError(`expected channel '${channel}' to take notices, found that it is a queue now`, { isPermanent: true });
    await publisher.send(target.queue, decodeOutbox(Buffer.from(message, "base64")));
  }

  #failed({ notice, channel, ofPlatform }: Escalation, attempt: number, isFinal: boolean, error: string): void {
    const { id: escalationId, rule, eventId } = notice;
    this.#emit({ type: "escalation.failed", eventId, escalationId, rule, channel, attempt, isFinal, error }, eventId, { lineage: notice, ofPlatform });
  }

  #emit(event: EscalationEvent, eventId: string, about: Omit<AboutEvent, "eventId"> | undefined): void {
    this.#options.telemetry.emit(event, about === undefined ? undefined : { eventId, ...about });
  }
}

/** A dead letter whose settlement was lost is dead-lettered again within this time. */
const keepReassignedMs = 24 * 3_600_000;
const done: JobResult = { kind: "done" };
const blank = { eventId: "", escalationId: "", rule: "", channel: "", attempt: 0, isFinal: true } as const;

function jobOf(id: string, escalation: Escalation, keepDoneMs: number, kind: string = escalationKind): Omit<Pending, "taken"> {
  return { job: { kind, id, data: escalation, retry, keepDoneMs }, escalation };
}

function factsOf({ eventId, id, rule, counted, critical, count, windowMs }: EscalationNotice): Facts {
  return { eventId, escalationId: id, rule, counted, critical, count, windowMs };
}

function codeOf(text: string): string {
  return hash("sha256", text, "base64url").slice(0, 22);
}
