// A whole pipeline on fakes of the outside and on the test's clock: one broker, one store, any number of workers.
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { unguessableId } from "#runtime/core/message-ids.ts";
import { probeEventType, probeSkill } from "#runtime/core/probe.ts";
import { createPayloadHash } from "#runtime/core/payload-hash.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import type { RunView } from "#runtime/core/run.ts";
import { type DependencyPolicy, defaultCircuitPolicy, defaultRetryPolicy, type SkillPolicy, type SkillTable } from "#runtime/core/skill.ts";
import { teeTelemetry } from "#runtime/adapters/telemetry/log.ts";
import { LocalLimits } from "#runtime/adapters/system/local-limits.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { Worker, type WorkerOptions } from "#runtime/pipeline/lifecycle.ts";
import type { SourceOptions } from "#runtime/pipeline/source.ts";
import { Caution } from "#runtime/policy/caution.ts";
import { CredentialWatch } from "#runtime/policy/credential-watch.ts";
import { StoreDoubt } from "#runtime/policy/store-doubt.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import type { SharedLimits } from "#runtime/ports/shared-limits.ts";
import type { FinalOutcome, Telemetry } from "#runtime/ports/telemetry.ts";
import { FaultyStore, type StoreFault } from "#runtime/testing/world/faulty-store.ts";
import { Faults } from "#runtime/testing/world/faults.ts";
import { type BrokerConnection, ModelBroker, type ModelBrokerOptions, queueName } from "#runtime/testing/world/model-broker.ts";
import type { BrokerFault } from "#runtime/testing/world/model-queue.ts";
import { ScriptedExecutor } from "./scripted-executor.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { ProcessClock, SimClock } from "#runtime/testing/world/sim-clock.ts";

export const outputEntity = "output";

export class TelemetryLog implements Telemetry {
  readonly events: RuntimeEvent[] = [];
  readonly outcomes: FinalOutcome[] = [];

  settled(outcome: FinalOutcome): void {
    this.outcomes.push(outcome);
  }

  emit(event: RuntimeEvent): void {
    this.events.push(event);
  }

  types(): string[] {
    return this.events.map((event) => event.type);
  }
}

export function skillPolicy(name: string, overrides: Partial<SkillPolicy> = {}): SkillPolicy {
  return { name, version: "1.0.0", timeoutMs: 20_000, retry: defaultRetryPolicy, uses: [], critical: false, pipelineHash: `${name}-1`, ...overrides };
}

export function dependencyPolicy(
  name: string,
  bulkhead: Partial<DependencyPolicy["bulkhead"]> = {},
  circuit: Partial<DependencyPolicy["circuit"]> = {},
): DependencyPolicy {
  return {
    name,
    bulkhead: { concurrentMax: 4, queueMax: 4, waitMaxMs: 30_000, whenFull: "postpone", ...bulkhead },
    circuit: { ...defaultCircuitPolicy, failureThreshold: 3, resetTimeoutMs: 10_000, resetFactor: 1, halfOpenMax: 1, ...circuit },
  };
}

/** The runtime's own, found beside those that are registered. */
const ownSkill = skillPolicy(probeSkill, { retry: { ...defaultRetryPolicy, attemptsMax: 1, immediateMax: 0 } });

/** Skills by event type, version 1.x. */
function skillTable(skills: readonly SkillPolicy[]): SkillTable {
  const byType = new Map(skills.map((skill) => [skill.name, skill]));
  return {
    policies: skills,
    handled: new Map(skills.map((skill) => [skill.name, ["1.x"]])),
    find: (eventType, version) => {
      const skill = eventType === probeEventType ? ownSkill : byType.get(eventType);
      if (skill === undefined) return "unknown-type";
      return version.startsWith("1.") ? skill : "unsupported-version";
    },
  };
}

interface WorldOptions {
  readonly seed?: number;
  readonly skills?: readonly SkillPolicy[];
  readonly dependencies?: readonly DependencyPolicy[];
  readonly broker?: Omit<ModelBrokerOptions, "clock">;
  /** Each call of a worker to its store, there and back; default as the store's fake. */
  readonly storeLatencyMs?: number;
  /** Queues that each worker reads beside `queueName`; they have no sessions. */
  readonly furtherQueues?: readonly string[];
  /** Of each worker's caution; default 1: it begins without. */
  readonly calmAt?: number;
}

export type WorkerOverrides = Partial<
  Pick<
    WorkerOptions,
    | "inFlightMax"
    | "intake"
    | "heldBytesMax"
    | "resends"
    | "storeHoldMaxMs"
    | "silenceMaxMs"
    | "leakedThreadsMax"
    | "memory"
    | "loopDelay"
    | "random"
    | "sharedLimits"
    | "readRoute"
    | "hashPayload"
    | "entityFor"
    | "publisher"
    | "retryLedger"
    | "loadShedding"
    | "escalated"
    | "priorities"
    | "latencyWatch"
    | "meter"
    | "tracing"
  >
> & {
  /** Hears what the world's own hears. */
  readonly furtherTelemetry?: Telemetry;
  /** What the worker has in place of the store. */
  readonly measured?: (store: RunStore, clock: ProcessClock) => RunStore;
  /** Of the source that the queue is. */
  readonly source?: Partial<SourceOptions>;
  /** How it is read by sessions. */
  readonly sessions?: SourceOptions["sessions"];
  /** Of the others, by name. */
  readonly sources?: Readonly<Record<string, Partial<SourceOptions>>>;
};

/** One worker process and all that is its own. */
export interface Process {
  readonly worker: Worker;
  readonly clock: ProcessClock;
  readonly connection: BrokerConnection;
  /** Those of further queues, by name. */
  readonly connections: ReadonlyMap<string, BrokerConnection>;
  readonly store: FaultyStore;
  readonly executor: ScriptedExecutor;
  readonly telemetry: TelemetryLog;
  /** Of a window of an hour. */
  readonly storeDoubt: StoreDoubt;
  readonly credentials: CredentialWatch;
  readonly brokerFaults: Faults<BrokerFault>;
  readonly storeFaults: Faults<StoreFault>;
  /** Changes of circuits, as the threads hear them. */
  readonly circuits: string[];
  /** Every call to the store, the broker and the threads, in order. */
  readonly calls: string[];
  /** Hears each call as it is made. */
  called: ((call: string) => void) | undefined;
  /** SIGKILL. */
  kill(): void;
}

export class World {
  readonly clock: SimClock = new SimClock();
  readonly broker: ModelBroker;
  readonly records: RunStore;
  /** Of further queues, by name. */
  readonly further = new Map<string, { readonly broker: ModelBroker; readonly records: RunStore }>();
  /** The buckets that all workers share. */
  readonly limits: SharedLimits;
  readonly #options: WorldOptions;
  #workers = 0;
  #messages = 0;

  constructor(options: WorldOptions = {}) {
    this.#options = options;
    this.broker = new ModelBroker({ ...options.broker, clock: this.clock });
    this.limits = new LocalLimits(this.clock);
    this.records = createSqliteRunStore({ consumer: queueName, retentionMs: 86_400_000, path: ":memory:", clock: this.clock });
    for (const queue of options.furtherQueues ?? []) {
      const broker = new ModelBroker({ ...options.broker, requiresSessions: false, clock: this.clock, queue });
      this.broker.others.set(queue, broker);
      this.further.set(queue, { broker, records: createSqliteRunStore({ consumer: queue, retentionMs: 86_400_000, path: ":memory:", clock: this.clock }) });
    }
  }

  /** A process whose worker has not been started. */
  process({ source, sessions, sources = {}, furtherTelemetry, measured = (store) => store, ...overrides }: WorkerOverrides = {}): Process {
    this.#workers += 1;
    const { seed = 1, skills = [skillPolicy("task")], dependencies = [], calmAt = 1, storeLatencyMs: latencyMs } = this.#options;
    const random = seededRandom(seed + this.#workers * 1_000_003);
    const clock = new ProcessClock(this.clock);
    const brokerFaults = new Faults<BrokerFault>(random);
    const storeFaults = new Faults<StoreFault>(random);
    const calls: string[] = [];
    const trace = (call: string): void => {
      calls.push(call);
      prepared.called?.(call);
    };
    const connection = this.broker.connect(clock, brokerFaults, trace);
    const store = new FaultyStore({ store: this.records, clock: this.clock, process: clock, faults: storeFaults, trace, latencyMs });
    const further = Array.from(this.further, ([name, { broker, records }]) => ({
      name,
      connection: broker.connect(clock, brokerFaults, trace),
      store: new FaultyStore({ store: records, clock: this.clock, process: clock, faults: storeFaults, trace, latencyMs }),
    }));
    const executor = new ScriptedExecutor(clock);
    const telemetry = new TelemetryLog();
    const circuits: string[] = [];
    executor.trace = trace;
    const credentials = new CredentialWatch({ clock, tell: (event) => telemetry.emit(event) });
    const storeDoubt = new StoreDoubt({ clock, windowMs: 3_600_000, tell: (event) => telemetry.emit(event) });
    const worker = new Worker({
      clock,
      random,
      workerId: `worker-${this.#workers}`,
      sources: [
        {
          name: queueName,
          consumer: queueName,
          transport: connection,
          store: measured(store, clock),
          storeDoubt,
          retryEntity: queueName,
          skills: skillTable(skills),
          deliveriesMax: this.broker.deliveriesMax - 1,
          weight: 1,
          priority: 0,
          sessions,
          ...source,
        },
        ...further.map(({ name, connection: transport, store: records }) => ({
          name,
          consumer: name,
          transport,
          store: records,
          storeDoubt,
          retryEntity: name,
          skills: skillTable(skills),
          deliveriesMax: this.broker.deliveriesMax - 1,
          weight: 1,
          priority: 0,
          ...sources[name],
        })),
      ],
      publisher: connection,
      executor,
      telemetry: furtherTelemetry === undefined ? telemetry : teeTelemetry([telemetry, furtherTelemetry]),
      skillCount: skills.length,
      threads: 1,
      dependencies,
      sharedLimits: this.limits,
      readRoute: (delivery) => readRoute(delivery, defaultDecodeLimits),
      hashPayload: createPayloadHash(defaultDecodeLimits),
      inFlightMax: 50,
      heldBytesMax: 1024 ** 3,
      intake: { start: 1_000, floor: 1, ceiling: 1_000, waitMaxMs: 500 },
      resends: "resume",
      entityFor: () => outputEntity,
      storeHoldMaxMs: 60_000,
      silenceMaxMs: 10_000,
      leakedThreadsMax: 2,
      caution: new Caution(calmAt),
      memory: () => undefined,
      loopDelay: () => 0,
      mainLoopUse: () => 1,
      collectGarbage: (extent) => calls.push(`collect ${extent}`),
      credentials,
      circuitChanged: (dependency, state) => circuits.push(`${dependency}:${state}`),
      ...overrides,
    });
    const prepared: Process = {
      worker,
      clock,
      connection,
      store,
      executor,
      telemetry,
      credentials,
      storeDoubt,
      brokerFaults,
      storeFaults,
      circuits,
      calls,
      called: undefined,
      connections: new Map(further.map((one) => [one.name, one.connection])),
      kill: () => {
        connection.kill();
        for (const one of further) one.connection.kill();
      },
    };
    return prepared;
  }

  /** Starts a worker and lets it attach. */
  async start(overrides: WorkerOverrides = {}, prepare: (process: Process) => void = () => undefined): Promise<Process> {
    await this.records.start();
    for (const { records } of this.further.values()) await records.start();
    const process = this.process(overrides);
    prepare(process);
    await this.clock.finish("the worker to start", process.worker.start());
    return process;
  }

  message(eventId: string, eventType = "task", payload: unknown = {}, headers: OutgoingMessage["headers"] = {}): OutgoingMessage {
    this.#messages += 1;
    return {
      messageId: `message-${this.#messages}`,
      body: Buffer.from(JSON.stringify(payload)),
      contentType: "application/json",
      headers: { eventId, eventType, version: "1.0", ...headers },
    };
  }

  /** Messages of a session, one for each event. */
  inSession(sessionId: string, ...eventIds: readonly string[]): OutgoingMessage[] {
    return eventIds.map((eventId) => ({ ...this.message(eventId), sessionId }));
  }

  /** Puts events into the queue now; each argument is an event id, or a whole message. */
  send(...events: readonly (string | OutgoingMessage)[]): void {
    this.broker.accept(
      queueName,
      events.map((event) => (typeof event === "string" ? this.message(event) : event)),
    );
  }

  sendTo(queue: string, ...eventIds: readonly string[]): void {
    this.broker.accept(
      queue,
      eventIds.map((eventId) => this.message(eventId)),
    );
  }

  /** The id under which an emitted message of this id is published. */
  async idPublished(messageId: string): Promise<string> {
    return unguessableId(await this.records.secret(), messageId, "emitted");
  }

  async record(eventId: string): Promise<RunView> {
    const view = await this.records.read(eventId);
    if (view === undefined) throw new Error(`expected a run of ${eventId}`);
    return view;
  }

  /** The states of all messages of an event, in the order of their sending. */
  statesOf(eventId: string): string[] {
    return this.broker.stored
      .filter((one) => one.message.headers["eventId"] === eventId)
      .map((one) => (one.reason === undefined ? one.state : `${one.state}: ${one.reason}`));
  }
}
