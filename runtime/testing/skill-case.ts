/** One case of a skill's test: an event that goes the whole way through a worker, with or without trouble. */
import { LocalLimits } from "../adapters/system/local-limits.ts";
import { createSqliteRunStore, type SqliteRunStore } from "../adapters/sqlite/run-store.ts";
import type { RuntimeEvent } from "../core/catalogue.ts";
import type { EventEnvelope } from "../core/event-envelope.ts";
import { type Death, deathOfHeaders } from "../core/death.ts";
import { eventMessage } from "../core/event-message.ts";
import { messageOf } from "../core/errors.ts";
import type { HeaderValue, IdValue, OutgoingMessage } from "../core/delivery.ts";
import type { RunView, StepKind, StepQuality, StepRecord } from "../core/run.ts";
import type { Skill } from "../skills/author/define-skill.ts";
import type { SkillLogLine } from "../skills/host/run-log.ts";
import { decodeStep, encodeIntent, encodeStep } from "../skills/host/step-codec.ts";
import { asOnRecord, type RecordedRun, restore } from "./recorded-run.ts";
import { type MadeCall, type PlannedFault, StandIns } from "./stand-in.ts";
import type { Provided } from "./provide.ts";
import type { Stub } from "./stub.ts";
import { type CrashPoint, IoPoints, type NumberedCall } from "./world/io-points.ts";
import { ModelBroker, queueName } from "./world/model-broker.ts";
import { SimClock } from "./world/sim-clock.ts";
import { SkillProcess } from "./world/skill-process.ts";
import { type Surroundings, usualSurroundings } from "./world/surroundings.ts";

/** From a worker's end to its successor's start. */
const restartAfterMs = 1_000;
/** Longer than any time-out of a skill without renewal would need; renewed as in a worker. */
const lockMs = 60_000;
/** In simulated time: pauses between retries are minutes long. */
const endsWithinMs = 48 * 3_600_000;
const retentionMs = 7 * 86_400_000;
const stopBudgetMs = 5_000;

/** What an event of a test says; what is left out is filled in. */
export interface TestEvent extends Partial<Omit<EventEnvelope, "payload">> {
  readonly payload?: unknown;
}

/** What the message of a test's event says beside it, for a skill that looks at its message or replies. */
export interface TestMessage {
  readonly replyTo?: string;
  readonly replyToSessionId?: string;
  /** Default: the event's. */
  readonly correlationId?: string;
  /** Application properties beside the envelope's. */
  readonly properties?: Readonly<Record<string, HeaderValue>>;
}

/** A step that an execution before the test's has left on record. */
export interface DoneBefore {
  readonly name: string;
  /** Default `keyed`. */
  readonly kind?: StepKind;
  /** Default `completed`; `intent`: its effect may have begun. */
  readonly state?: DoneStep["state"];
  /** Default: none. */
  readonly result?: unknown;
}

/** The session of a test's message. */
export interface TestSession {
  readonly id: string;
  /** What an earlier message left; JSON. Default: nothing. */
  readonly state?: unknown;
}

/** A step as its run's record holds it. */
export interface DoneStep {
  readonly name: string;
  readonly kind: StepKind;
  /** `intent`: its effect may have begun, and its result is not known. */
  readonly state: "intent" | "completed";
  readonly result: unknown;
  readonly quality: StepQuality;
}

/** An event that is published once the run is done. */
export interface EmittedEvent {
  readonly eventId: string;
  readonly eventType: string;
  readonly payload: unknown;
  readonly event: EventEnvelope;
  /** Where it goes; undefined: where the configuration sends its type. Of a reply, what its message named. */
  readonly entity: string | undefined;
  /** Of the message; of a reply, what belongs to the message that it answers. */
  readonly correlationId: IdValue | undefined;
  readonly sessionId: string | undefined;
  /** From when on it can be received, by the wall clock of the test, which begins with 2030; undefined for at once. */
  readonly scheduledAtMs: number | undefined;
  readonly timeToLiveMs: number | undefined;
  /** Application properties, those of the envelope among them. */
  readonly properties: Readonly<Record<string, HeaderValue>>;
}

/** A failed execution after which the run was tried again. */
export interface Retry {
  /** 1 for the execution that failed first. */
  readonly attempt: number;
  readonly code: string;
  readonly description: string;
  /** Pause before the next execution. */
  readonly delayMs: number;
  /** In simulated time, from the start of the test. */
  readonly atMs: number;
}

/** What became of the event of a test. */
export interface SkillOutcome {
  readonly outcome: "completed" | "dead-lettered" | "parked";
  /** Of a dead letter: its reason, such as the failure's code; empty otherwise. */
  readonly reason: string;
  /** Of a dead letter: what happened, and where; empty otherwise. */
  readonly description: string;
  readonly steps: readonly DoneStep[];
  /** Every try of every call, in order. */
  readonly calls: readonly MadeCall[];
  /** What is published once the run is done, in order, each event once. */
  readonly emitted: readonly EmittedEvent[];
  readonly retries: readonly Retry[];
  readonly logs: readonly SkillLogLine[];
  /** What is left to the next message of the session; undefined for nothing, or without a session. */
  readonly sessionState: unknown;
  /** Simulated, from the event's arrival to its end. */
  readonly tookMs: number;
}

export interface CaseReport extends SkillOutcome {
  /** Why it was given up, as its dead letter says it; undefined where it was not. */
  readonly death: Death | undefined;
  /** Every call that left the worker, for putting trouble there. */
  readonly points: readonly NumberedCall[];
}

export interface CaseOptions {
  readonly skill: Skill;
  readonly event: TestEvent;
  readonly stubs: readonly Stub[];
  readonly provided: Provided;
  readonly crashes?: readonly CrashPoint[] | undefined;
  readonly fault?: PlannedFault | undefined;
  /** Further messages of the same event, at these times after the first one. */
  readonly duplicatesAtMs?: readonly number[] | undefined;
  /** What the workers that follow a killed one run. */
  readonly successor?: Skill | undefined;
  /** What its message says beside the event. */
  readonly message?: TestMessage | undefined;
  /** The session that its message is one of. */
  readonly session?: TestSession | undefined;
  /** Of pauses and their jitter; default 1. */
  readonly seed?: number | undefined;
  /** What executions before have left. */
  readonly done?: readonly DoneBefore[] | undefined;
  /** A run that is gone through again, in the place of the event. */
  readonly recorded?: RecordedRun | undefined;
  readonly surroundings?: Surroundings | undefined;
  /** How long what the skill itself waits for in real time may take; default ten seconds. */
  readonly realWaitMaxMs?: number | undefined;
}

function stepOf({ name, kind = "keyed", state = "completed", result }: DoneBefore): StepRecord {
  return state === "intent" ? encodeIntent(name, kind) : encodeStep(name, kind, { result, emitted: [], quality: "full" });
}

/** A version that a skill handles. */
function firstOf(versions: readonly string[] = []): string {
  return versions[0]?.replace("x", "0") ?? "1.0";
}

function envelopeOf(skill: Skill, { payload = {}, ...given }: TestEvent): EventEnvelope {
  const eventType = given.eventType ?? skill.handles[0]?.eventType ?? "";
  const handled = skill.handles.find((one) => one.eventType === eventType);
  return {
    eventId: "event-1",
    eventType,
    traceId: "trace-1",
    correlationId: "flow-1",
    projectId: "project-1",
    originatingAgent: "test",
    version: firstOf(handled?.versions),
    timestamp: "2030-01-01T00:00:00.000Z",
    ...given,
    payload,
  };
}

class SkillCase {
  readonly #clock: SimClock;
  readonly #broker: ModelBroker;
  readonly #records: SqliteRunStore;
  readonly #points: IoPoints;
  readonly #standIns: StandIns;
  /** Of rate limits: those of the pool that all its workers are. */
  readonly #limits: LocalLimits;
  readonly #options: CaseOptions;
  readonly #retries: Retry[] = [];
  readonly #logs: SkillLogLine[] = [];
  #description = "";
  #current: SkillProcess | undefined;
  /** Every process that there was. */
  readonly #ended: SkillProcess[] = [];
  #processes: number;
  #unsent: number;

  constructor(options: CaseOptions) {
    this.#options = options;
    const { stubs, crashes, fault, duplicatesAtMs = [], seed = 1, realWaitMaxMs } = options;
    const clock = new SimClock(undefined, realWaitMaxMs);
    this.#clock = clock;
    this.#broker = new ModelBroker({ clock, lockMs, requiresSessions: options.session !== undefined });
    const { id = "", state } = options.session ?? {};
    if (state !== undefined) this.#broker.sessions?.states.set(id, Buffer.from(JSON.stringify(state)));
    this.#records = createSqliteRunStore({ consumer: queueName, retentionMs, path: ":memory:", clock });
    this.#points = new IoPoints(clock, crashes ?? []);
    this.#standIns = new StandIns(clock, this.#points, stubs, fault);
    this.#limits = new LocalLimits(clock);
    this.#unsent = 1 + duplicatesAtMs.length;
    this.#processes = (seed - 1) * 1_000;
    clock.isHeld = () => this.#current?.isAtWork === true;
  }

  async run(): Promise<CaseReport> {
    const clock = this.#clock;
    const broker = this.#broker;
    const { skill, event, duplicatesAtMs = [], surroundings = usualSurroundings } = this.#options;
    const envelope = envelopeOf(skill, event);
    await this.#records.start();
    try {
      await restore(this.#records, this.#recordedOf(envelope), surroundings);
      this.#startWorker();
      for (const atMs of [0, ...duplicatesAtMs]) clock.after(atMs, () => this.#send(envelope));
      const isOver = (): boolean => this.#unsent === 0 && broker.open.length === 0;
      await clock
        .until("the event to end", () => isOver() || this.#standIns.unexpected.length > 0, endsWithinMs)
        .catch((error: unknown) => Promise.reject(new Error(`${messageOf(error)}; ${describeOpen(broker)}`, { cause: error })));
      const [unexpected] = this.#standIns.unexpected;
      if (unexpected !== undefined) throw unexpected;
      const tookMs = clock.monotonicMs();
      // Answers that are still on their way.
      await clock.advance(20);
      this.#points.isOver = true;
      return this.#report(envelope.eventId, await this.#records.read(envelope.eventId), tookMs);
    } finally {
      await this.#end();
    }
  }

  #report(eventId: string, record: RunView | undefined, tookMs: number): CaseReport {
    const broker = this.#broker;
    const [dead] = broker.deadLettered;
    const outcome = dead === undefined ? "completed" : record?.state === "parked" ? "parked" : "dead-lettered";
    return {
      outcome,
      reason: dead?.reason ?? "",
      description: this.#description,
      death: dead && deathOfHeaders((name) => dead.properties[name]),
      steps: (record?.steps ?? []).map((step) => {
        const stored = step.state === "completed" ? decodeStep(step) : undefined;
        return { name: step.name, kind: step.kind, state: step.state, result: stored?.result, quality: stored?.quality ?? "full" };
      }),
      calls: this.#standIns.calls,
      emitted: emittedBy(eventId, broker),
      retries: this.#retries,
      logs: this.#logs,
      sessionState: this.#sessionState(),
      tookMs,
      points: this.#points.calls,
    };
  }

  #sessionState(): unknown {
    const bytes = this.#broker.sessions?.states.get(this.#options.session?.id ?? "");
    return bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString("utf8")) as unknown);
  }

  async #end(): Promise<void> {
    const process = this.#current;
    this.#current = undefined;
    if (process !== undefined && !process.isDead) {
      process.isGone = true;
      await this.#clock.finish("the worker to stop", process.worker.stop(stopBudgetMs), 60_000);
      process.kill();
    }
    await this.#records.stop();
    // Pools and the like would keep the test's process from ending.
    await Promise.all(this.#ended.map((one) => one.closed()));
  }

  #startWorker(): void {
    this.#processes += 1;
    const { skill, successor = skill, stubs, provided, surroundings, recorded } = this.#options;
    const isFirst = this.#current === undefined;
    const process = new SkillProcess({
      world: this.#clock,
      broker: this.#broker,
      points: this.#points,
      provided,
      limits: this.#limits,
      number: this.#processes,
      records: () => this.#records,
      plugin: (caller, executor) => {
        const within = this.#standIns.within(isFirst ? skill : successor, { caller, executor });
        return { skills: [within], dependencies: within.uses.length > 0 ? within.uses : stubs.map(({ dependency }) => dependency) };
      },
      ...(surroundings === undefined ? {} : { surroundings }),
      ...(recorded === undefined
        ? {}
        : { distortStore: (store) => asOnRecord(store, recorded), consumer: recorded.identity?.consumer, isUndone: false, realDates: true }),
      telemetry: { settled: () => undefined, emit: (event) => this.#hear(event) },
      log: (line) => this.#logs.push(line),
      killed: (killed) => {
        if (!killed.isGone) this.#clock.after(restartAfterMs, () => this.#startWorker());
        killed.isGone = true;
      },
      threadLost: () => undefined,
    });
    this.#current = process;
    this.#ended.push(process);
    // One that cannot start ends, and is started again, as whatever watches over it would have it.
    process.worker.start().catch(() => process.kill());
  }

  #hear(event: RuntimeEvent): void {
    const atMs = this.#clock.monotonicMs();
    if (event.type === "run.retrying") {
      const { attempt, code, description, delayMs } = event;
      this.#retries.push({ attempt, code, description, delayMs, atMs });
    }
    if (event.type === "run.dead-lettered") this.#description = event.description;
  }

  #send(envelope: EventEnvelope): void {
    this.#unsent -= 1;
    this.#broker.accept(queueName, [this.#options.recorded?.message ?? this.#messageOf(envelope)]);
  }

  #recordedOf(envelope: EventEnvelope): RecordedRun {
    const { recorded, done = [] } = this.#options;
    return recorded ?? { message: this.#messageOf(envelope), steps: done.map(stepOf), failuresBefore: 0 };
  }

  #messageOf(envelope: EventEnvelope): OutgoingMessage {
    const { message: { properties, ...said } = {}, session } = this.#options;
    const ids = { messageId: `${envelope.eventId}-${this.#unsent}`, ...(session === undefined ? {} : { sessionId: session.id }) };
    return eventMessage(envelope, { properties, message: { ...said, ...ids } });
  }
}

function describeOpen(broker: ModelBroker): string {
  return `its messages are ${broker.open.map(({ state }) => state).join(", ") || "not sent"}`;
}

/** What was published, each event once: at least once is what is promised. */
function emittedBy(eventId: string, broker: ModelBroker): EmittedEvent[] {
  const events = new Map<string, EmittedEvent>();
  for (const { message } of broker.published) {
    if (message.headers["causationId"] !== eventId) continue;
    const event = JSON.parse(Buffer.from(message.body).toString("utf8")) as EventEnvelope;
    const { eventId: id, eventType, payload } = event;
    const { entity, correlationId, sessionId, scheduledAtMs, timeToLiveMs, headers: properties } = message;
    events.set(id, { eventId: id, eventType, payload, event, entity, correlationId, sessionId, scheduledAtMs, timeToLiveMs, properties });
  }
  return [...events.values()];
}

export function runSkillCase(options: CaseOptions): Promise<CaseReport> {
  return new SkillCase(options).run();
}
