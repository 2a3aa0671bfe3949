/**
 * Sends what happens to the platform, as events of `core/platform-catalogue.ts`, beside the work and never in its way: an event is made
 * and put into a buffer where it happens, and sent by the hundred later. What the buffer cannot take is counted and logged, and so is
 * what the broker refuses for good. While the broker cannot be reached, the buffer waits for it.
 */
import { hash } from "node:crypto";
import type { RuntimeEvent } from "../../core/catalogue.ts";
import type { Clock, Timer } from "../../core/clock.ts";
import type { OutgoingMessage } from "../../core/delivery.ts";
import { messageOf, SendError, TransportError } from "../../core/errors.ts";
import type { EventEnvelope } from "../../core/event-envelope.ts";
import { eventHeaders } from "../../core/event-headers.ts";
import { type Lineage, lineageOf } from "../../core/lineage.ts";
import { unguessableId } from "../../core/message-ids.ts";
import { isPlatformEvent, platformEventHeader, platformRowOf, type PlatformRow } from "../../core/platform-catalogue.ts";
import { redactValue } from "../../core/redact.ts";
import { defaultProjectId } from "../../core/wire-forms.ts";
import type { Publisher } from "../../ports/publisher.ts";
import type { AboutEvent, AboutMessage, Reporter, Telemetry } from "../../ports/telemetry.ts";
import { Losses } from "./losses.ts";
import { ReportBudget, type ReportBounds } from "./report-budget.ts";

export interface PlatformEventsOptions extends ReportBounds {
  readonly clock: Clock;
  readonly publisher: Publisher;
  readonly entity: string;
  /** Event types; undefined for all. */
  readonly include?: ReadonlySet<string> | undefined;
  /** Of what is about no event. */
  readonly consumer: string;
  readonly workerId: string;
  /** Hears of events that were not sent. */
  lost(event: Extract<RuntimeEvent, { type: "platform-events.lost" }>): void;
}

type About = AboutMessage | AboutEvent;
type WhyLost = Extract<RuntimeEvent, { type: "platform-events.lost" }>["why"];

export const platformAgent = "holdfast";
const batchMax = 100;
/** From the first of a batch to its sending. */
const gatherMs = 100;
const pauseFirstMs = 500;
const pauseMaxMs = 10_000;
const idCharacters = 22;

export class PlatformEvents implements Telemetry, Reporter {
  readonly #options: PlatformEventsOptions;
  readonly #budget: ReportBudget;
  readonly #losses: Losses<WhyLost>;
  /** Undefined until the worker runs: what message ids are made with. */
  #secret: string | undefined;
  #waiting: EventEnvelope[] = [];
  #emitted = 0;
  #timer: Timer | undefined;
  #sending: Promise<void> | undefined;
  #pauseMs = pauseFirstMs;
  #isStopped = false;

  constructor(options: PlatformEventsOptions) {
    this.#options = options;
    this.#budget = new ReportBudget(options);
    this.#losses = new Losses(options.clock, (why, events, error) => options.lost({ type: "platform-events.lost", why, events, error }));
  }

  settled(): void {
    // How a message ended that did not fail is no news for the platform.
  }

  emit(event: RuntimeEvent, about?: About): void {
    const row = platformRowOf(event.type);
    if (row === undefined || this.#options.include?.has(row.eventType) === false) return;
    try {
      if (about !== undefined && isOfPlatform(about)) return;
      this.#take(row, event, about);
    } catch (error) {
      this.#losses.add("refused", 1, messageOf(error, 200));
    }
  }

  start(secret: string): void {
    this.#secret = secret;
    if (this.#waiting.length > 0) this.#sendAfter(gatherMs);
  }

  /** Sends what waits, each once; it may take as long as the broker does. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#sending;
    while (this.#waiting.length > 0 && this.#secret !== undefined) await this.#sendBatch(this.#secret);
    this.giveUp();
  }

  /** Tells of all that was not sent. */
  giveUp(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    if (this.#waiting.length > 0) this.#losses.add("stop", this.#waiting.length, "");
    this.#waiting = [];
    this.#losses.stop();
  }

  #take(row: PlatformRow, event: RuntimeEvent, about: About | undefined): void {
    const { clock } = this.#options;
    const answer = this.#budget.take(row.isFrequent, this.#waiting.length, clock.monotonicMs());
    if (answer !== "taken") return this.#losses.add(answer, 1, "");
    this.#waiting.push(this.#envelopeOf(row, event, about));
    if (this.#secret !== undefined && this.#timer === undefined && this.#sending === undefined) this.#sendAfter(gatherMs);
  }

  #envelopeOf({ eventType, version }: PlatformRow, event: RuntimeEvent, about: About | undefined): EventEnvelope {
    const { clock, workerId } = this.#options;
    const consumer = about !== undefined && "delivery" in about ? about.consumer : this.#options.consumer;
    this.#emitted += 1;
    const { type: _type, ...fields } = event;
    const eventId = `hf~${codeOf(consumer, event, about === undefined ? [workerId, this.#emitted] : identityOf(event, about))}`;
    const lineage = about === undefined ? undefined : lineageIn(about);
    const causationId = about === undefined || about.eventId === "" ? undefined : about.eventId;
    return {
      eventId,
      eventType,
      traceId: lineage?.traceId || causationId || eventId,
      correlationId: lineage?.correlationId || causationId || eventId,
      projectId: lineage?.projectId || defaultProjectId,
      ...(lineage === undefined || lineage.tenantId === "" ? undefined : { tenantId: lineage.tenantId }),
      originatingAgent: platformAgent,
      version,
      timestamp: new Date(clock.wallMs()).toISOString(),
      ...(causationId === undefined ? undefined : { causationId }),
      payload: { ...(redactValue(fields) as object), consumer, worker: workerId },
    };
  }

  #sendAfter(delayMs: number): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.#sending = this.#sendAll(this.#secret ?? "").finally(() => {
        this.#sending = undefined;
      });
    });
  }

  /** Until none waits, or the broker takes none. */
  async #sendAll(secret: string): Promise<void> {
    while (this.#waiting.length > 0 && !this.#isStopped) {
      if (await this.#sendBatch(secret)) {
        this.#pauseMs = pauseFirstMs;
        continue;
      }
      this.#sendAfter(this.#pauseMs);
      this.#pauseMs = Math.min(pauseMaxMs, this.#pauseMs * 2);
      return;
    }
  }

  /** False when some were not sent; they wait again, and are the first of all. Once it stops they do not. */
  async #sendBatch(secret: string): Promise<boolean> {
    const { publisher, entity } = this.#options;
    const batch = new Map(this.#waiting.splice(0, batchMax).map((event) => [messageOfEvent(event, secret), event]));
    try {
      await publisher.send(entity, [...batch.keys()]);
      return true;
    } catch (error) {
      const failed = error instanceof SendError ? error.failed : new Map(Array.from(batch.keys(), (message) => [message, asTransportError(error)]));
      const again: EventEnvelope[] = [];
      for (const [message, reason] of failed) {
        const event = batch.get(message);
        if (event === undefined) continue;
        if (reason.isPermanent) this.#losses.add("refused", 1, messageOf(reason, 200));
        else if (this.#isStopped) this.#losses.add("stop", 1, messageOf(reason, 200));
        else again.push(event);
      }
      this.#waiting.unshift(...again);
      return again.length === 0;
    }
  }
}

function isOfPlatform(about: About): boolean {
  return "delivery" in about ? isPlatformEvent(about.delivery) : about.ofPlatform;
}

function lineageIn(about: About): Lineage {
  return "delivery" in about ? lineageOf(about.delivery, about.headers) : about.lineage;
}

function asTransportError(error: unknown): TransportError {
  return error instanceof TransportError ? error : new TransportError(messageOf(error), { cause: error });
}

/**
 * What makes an event of a run the same when it is reported again, by another worker or after a crash: its execution, and the step where one
 * execution can have several. A message that is dead-lettered is so once, whoever does it; and of one that was never claimed no more is known than which it is.
 */
function identityOf(event: RuntimeEvent, about: About): readonly (string | number | bigint)[] {
  if (!("delivery" in about)) return [about.eventId, ...distinctionsIn(event)];
  const { eventId, epoch, attempt, delivery } = about;
  const message = [eventId, delivery.messageId, delivery.sequenceNumber];
  if (event.type === "run.dead-lettered" || event.type === "run.revived" || epoch === 0) return message;
  return [eventId, epoch, attempt, ...distinctionsIn(event)];
}

/** By what events of one type and one execution differ, or those of one escalation, or of compensations that are carried on. */
const distinguishing: ReadonlySet<string> = new Set(["step", "dependency", "state", "where", "stage", "escalationId", "channel", "attempt", "sent"]);

function distinctionsIn(event: RuntimeEvent): readonly string[] {
  return Object.entries(event).flatMap(([name, value]) => (distinguishing.has(name) ? [String(value)] : []));
}

function codeOf(consumer: string, { type }: RuntimeEvent, identity: readonly (string | number | bigint)[]): string {
  return hash("sha256", JSON.stringify([consumer, type, ...identity.map(String)]), "base64url").slice(0, idCharacters);
}

function messageOfEvent(event: EventEnvelope, secret: string): OutgoingMessage {
  return {
    messageId: unguessableId(secret, event.eventId, "platform"),
    body: Buffer.from(JSON.stringify(event)),
    contentType: "application/json",
    correlationId: event.correlationId,
    subject: event.eventType,
    headers: { ...eventHeaders(event), [platformEventHeader]: true },
  };
}
