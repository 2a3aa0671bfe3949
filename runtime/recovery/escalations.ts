/**
 * Hears of failures, and escalates by the rules what there is too much of. What is decided becomes jobs of the recovery queue, one for
 * each channel: a job outlives this worker, is tried until its channel takes it, and is remembered by its rule and what it counts, so
 * that of all workers that come to the same conclusion one escalates.
 */
import { hash } from "node:crypto";
import type { RuntimeEvent } from "../core/catalogue.ts";
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { EscalationNotice, Occurrence } from "../core/escalation.ts";
import { type Lineage, lineageOf } from "../core/lineage.ts";
import { decodeOutbox, encodeOutbox } from "../core/outbox.ts";
import { isPlatformEvent } from "../core/platform-catalogue.ts";
import { reassigned, wasReassigned } from "../core/reassignment.ts";
import { redact } from "../core/redact.ts";
import type { EscalationPolicy, Reached } from "../policy/escalation.ts";
import { DeliveryError, type EscalationChannel } from "../ports/escalation-channel.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { JobHandler, JobResult, NewJob, RecoveryJob, RecoveryQueue } from "../ports/recovery-queue.ts";
import type { AboutEvent, AboutMessage, Reporter, Telemetry } from "../ports/telemetry.ts";

export const escalationKind = "escalation";
export const reassignmentKind = "reassignment";

const retry = { attemptsMax: 10, baseDelayMs: 1_000, delayMaxMs: 60_000 };
/** A larger message is not reassigned: it would lie in the store until it is sent. */
const reassignedBytesMax = 256 * 1024;
/** Jobs that wait for a queue that does not answer; what is more is given up, and reported. */
const pendingMax = 200;
const addAgainMs = 2_000;

export interface EscalationsOptions {
  readonly clock: Clock;
  readonly policy: EscalationPolicy;
  readonly queue: RecoveryQueue;
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
}

export class Escalations implements Telemetry, Reporter {
  readonly #options: EscalationsOptions;
  #pending: Pending[] = [];
  #adding: Promise<void> | undefined;
  #timer: Timer | undefined;
  /** Undefined until the worker runs. */
  #secret: string | undefined;
  #isStopped = false;

  constructor(options: EscalationsOptions) {
    this.#options = options;
  }

  settled(): void {
    // What did not fail is not escalated.
  }

  emit(event: RuntimeEvent, about?: AboutMessage | AboutEvent): void {
    if (event.type !== "run.failed" && event.type !== "run.dead-lettered") return;
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
  }

  /** What is decided is brought to the queue. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#adding;
    if (this.#pending.length > 0) await this.#addAll();
    this.giveUp();
  }

  giveUp(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    const left = this.#pending.splice(0);
    for (const { escalation } of left) this.#failed(escalation, 0, true, "the worker ended before its queue had taken it");
  }

  #hear(event: Failure, about: AboutMessage): void {
    const { policy, clock } = this.#options;
    const { class: failureClass, code, skill } = event;
    const eventType = about.route?.eventType ?? "";
    const known = { on: event.type === "run.failed" ? "failure" : "dead-letter", failureClass, code, eventType, skill } as const;
    if (!policy.mayConcern(known)) return;
    const lineage = lineageOf(about.delivery, about.headers);
    const occurrence: Occurrence = { ...known, tenant: lineage.tenantId, project: lineage.projectId };
    for (const reached of policy.hear(occurrence, clock.monotonicMs())) this.#reached(reached, event, about, lineage);
  }

  #reached(reached: Reached, event: Failure, about: AboutMessage, lineage: Lineage): void {
    const { rule, counted, due } = reached;
    const notice = this.#noticeOf(reached, event, about, lineage);
    const ofPlatform = isPlatformEvent(about.delivery);
    if (due === "now") this.#emit({ type: "escalation.raised", ...factsOf(notice), channels: rule.to.join(", ") }, about.eventId, { lineage, ofPlatform });
    else if (due === "held-back") this.#emit({ type: "escalation.held-back", rule: rule.name, counted }, about.eventId, { lineage, ofPlatform });
    for (const channel of rule.to) {
      const target = this.#options.channels.get(channel);
      if (target !== undefined && "queue" in target) this.#reassign(target.queue, { channel, notice, ofPlatform }, event, about);
      else if (due === "now") this.#add(jobOf(`${rule.name}/${channel}/${codeOf(counted)}`, { channel, notice, ofPlatform }, rule.repeatAfterMs));
    }
  }

  /** Each event of a rule whose threshold is reached, whether people hear of it or have just heard. */
  #reassign(queue: string, escalation: Escalation, event: Failure, about: AboutMessage): void {
    const { delivery } = about;
    if (event.type !== "run.dead-lettered" || this.#secret === undefined || wasReassigned(delivery)) return;
    const { body, messageId, sequenceNumber } = delivery;
    if (body.byteLength > reassignedBytesMax)
      return this.#failed(
        escalation,
        0,
        true,
        `expected a message of at most ${reassignedBytesMax} bytes to be reassigned, found ${body.byteLength}; replay it from its dead letters`,
      );
    const { consumer } = about;
    const message = reassigned(this.#secret, delivery, { queue, consumer, rule: escalation.notice.rule, reason: event.reason, code: event.code });
    const packed = Buffer.from(encodeOutbox([message])).toString("base64");
    const id = `${escalation.notice.rule}/${escalation.channel}/${codeOf(JSON.stringify([messageId, String(sequenceNumber), ...(consumer === this.#options.consumer ? [] : [consumer])]))}`;
    this.#add(jobOf(id, { ...escalation, message: packed }, keepReassignedMs, reassignmentKind));
  }

  #noticeOf({ rule, counted, critical, count, sinceLast }: Reached, event: Failure, about: AboutMessage, lineage: Lineage): EscalationNotice {
    const { workerId, timestamp } = this.#options;
    const { consumer } = about;
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
      eventType: about.route?.eventType ?? "",
      skill,
      attempt,
      failureClass,
      code: redact(code, 128),
      step,
      description: redact(description, 1_000),
    };
  }

  #add(pending: Pending): void {
    if (this.#pending.length >= pendingMax)
      return this.#failed(pending.escalation, 0, true, `expected at most ${pendingMax} to wait for the recovery queue, found more`);
    this.#pending.push(pending);
    this.#adding ??= this.#addAll().finally(() => {
      this.#adding = undefined;
    });
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
      this.#pending.shift();
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

function jobOf(id: string, escalation: Escalation, keepDoneMs: number, kind: string = escalationKind): Pending {
  return { job: { kind, id, data: escalation, retry, keepDoneMs }, escalation };
}

function factsOf({ eventId, id, rule, counted, critical, count, windowMs }: EscalationNotice): Facts {
  return { eventId, escalationId: id, rule, counted, critical, count, windowMs };
}

function codeOf(text: string): string {
  return hash("sha256", text, "base64url").slice(0, 22);
}
