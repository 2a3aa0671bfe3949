/** A worker process of the simulated world: the real pipeline, policies and skill host on a model of broker, network and time. */
import type { Clock, Random } from "../../core/clock.ts";
import type { SessionsSettings } from "../../core/config/sessions.ts";
import { createPayloadHash } from "../../core/payload-hash.ts";
import { readRoute } from "../../core/read-route.ts";
import type { StoreSuspicion } from "../../core/store-suspicion.ts";
import { Worker } from "../../pipeline/lifecycle.ts";
import { Caution } from "../../policy/caution.ts";
import { CredentialWatch } from "../../policy/credential-watch.ts";
import { RetryLedger, retryLedgerBytes } from "../../policy/retry-ledger.ts";
import { StoreDoubt } from "../../policy/store-doubt.ts";
import type { RunStore } from "../../ports/run-store.ts";
import type { Telemetry } from "../../ports/telemetry.ts";
import type { Dependency } from "../../skills/author/define-dependency.ts";
import type { Skill } from "../../skills/author/define-skill.ts";
import type { SkillLogLine } from "../../skills/host/run-log.ts";
import { SkillRegistry } from "../../skills/host/registry.ts";
import type { Provided } from "../provide.ts";
import { Faults } from "./faults.ts";
import { FaultyStore } from "./faulty-store.ts";
import { LocalLimits } from "../../adapters/system/local-limits.ts";
import type { SharedLimits } from "../../ports/shared-limits.ts";
import { HostExecutor } from "./host-executor.ts";
import type { Caller, IoPoints } from "./io-points.ts";
import { type BrokerConnection, type ModelBroker, queueName } from "./model-broker.ts";
import { numberedPublisher, numberedStore, numberedTransport } from "./numbered-ports.ts";
import { seededRandom } from "./seeded-random.ts";
import { ProcessClock, type SimClock } from "./sim-clock.ts";
import { type Surroundings, usualSurroundings } from "./surroundings.ts";

/** How long events of before a loss of records are in doubt; longer than any case. */
const doubtMs = 3_600_000;

/** A message that fails for good goes out of the way of its session, so that a case has an end. */
const sessionsSettings: SessionsSettings = { concurrentMax: 16, idleMs: 1_000, turnMs: 10_000, onFailure: "skip" };

/** Where the simulated workers publish what skills emit. */
export const outputEntity = "output";

/** What a process has of the world outside. */
export interface Connected {
  readonly clock: ProcessClock;
  readonly random: Random;
  readonly connection: BrokerConnection;
  readonly store: FaultyStore;
}

/** Connects process number `number`, from 1, which is its seed, too. */
export function connect(world: SimClock, broker: ModelBroker, number: number, store: RunStore): Connected {
  const clock = new ProcessClock(world);
  const random = seededRandom(number);
  const connection = broker.connect(clock, new Faults(random), () => undefined);
  return { clock, random, connection, store: new FaultyStore({ store, clock: world, process: clock, faults: new Faults(random), trace: () => undefined }) };
}

/** What a process runs. */
export interface SimulatedPlugin {
  readonly skills: readonly Skill[];
  readonly dependencies: readonly Dependency[];
}

export interface SkillProcessOptions {
  readonly world: SimClock;
  readonly broker: ModelBroker;
  /** Of the process, from 1. */
  readonly number: number;
  /** The run records as this process reaches them; `suspect` hears of a loss. */
  readonly records: (suspect: (suspicion: StoreSuspicion) => void) => RunStore;
  readonly points: IoPoints;
  /** What is in the process; `caller` calls in its name. */
  readonly plugin: (caller: Caller, executor: () => HostExecutor) => SimulatedPlugin;
  /** Settings and resources that its skills are given; default none. */
  readonly provided?: Provided | undefined;
  /** What keys are made of beside the event's id; default the queue's name. */
  readonly consumer?: string | undefined;
  /** Whether runs of critical skills that fail for good are compensated; default true. */
  readonly isUndone?: boolean | undefined;
  readonly realDates?: boolean | undefined;
  /** The buckets of rate limits, as a pool shares them; default its own. */
  readonly limits?: Pick<SharedLimits, "draw"> | undefined;
  /** Puts something between the worker and the store, on the worker's clock. */
  readonly distortStore?: ((store: RunStore, clock: Clock) => RunStore) | undefined;
  readonly telemetry?: Telemetry;
  /** Default: what a worker has without a word of its configuration. */
  readonly surroundings?: Surroundings;
  readonly log?: (line: SkillLogLine) => void;
  /** It was killed. */
  readonly killed: (process: SkillProcess) => void;
  /** Its thread was lost. */
  readonly threadLost: () => void;
}

export class SkillProcess implements Caller {
  readonly worker: Worker;
  readonly connection: BrokerConnection;
  readonly store: FaultyStore;
  readonly #clock: ProcessClock;
  readonly #executor: HostExecutor;
  readonly #options: SkillProcessOptions;
  /** Nobody waits for its end any more. */
  isGone = false;

  constructor(options: SkillProcessOptions) {
    const { world, broker, number, points, surroundings = usualSurroundings } = options;
    const { limits, envelopes } = surroundings;
    const storeDoubt = new StoreDoubt({ clock: world, windowMs: doubtMs, tell: () => undefined });
    const { clock, random, connection, store } = connect(
      world,
      broker,
      number,
      options.records((suspicion) => storeDoubt.lost(suspicion)),
    );
    this.#options = options;
    this.#clock = clock;
    this.connection = connection;
    this.store = store;
    const { registry, executor, retries } = this.#host(random, surroundings);
    this.#executor = executor;
    this.worker = new Worker({
      credentials: new CredentialWatch({ clock, tell: () => undefined }),
      memory: () => undefined,
      loopDelay: () => 0,
      mainLoopUse: () => 1,
      clock,
      random,
      workerId: `worker-${number}`,
      sources: [
        {
          name: queueName,
          consumer: queueName,
          transport: numberedTransport(connection, points, this),
          store: numberedStore(options.distortStore?.(store, clock) ?? store, points, this),
          storeDoubt,
          retryEntity: queueName,
          skills: registry,
          deliveriesMax: broker.deliveriesMax - 1,
          weight: 1,
          priority: 0,
          sessions: broker.sessions === undefined ? undefined : sessionsSettings,
        },
      ],
      publisher: numberedPublisher(connection, points, this),
      executor: this.#executor,
      telemetry: options.telemetry ?? { settled: () => undefined, emit: () => undefined },
      skillCount: registry.skills.length,
      threads: 1,
      dependencies: registry.dependencies,
      retryLedger: new RetryLedger(retries),
      sharedLimits: sharedLimits(options.limits ?? new LocalLimits(world)),
      readRoute: (delivery) => readRoute(delivery, limits, envelopes),
      hashPayload: createPayloadHash(limits),
      inFlightMax: 20,
      collectGarbage: () => undefined,
      heldBytesMax: 1024 ** 3,
      intake: { start: 20, floor: 20, ceiling: 20, waitMaxMs: 500 },
      resends: "resume",
      entityFor: () => outputEntity,
      storeHoldMaxMs: 60_000,
      silenceMaxMs: 60_000,
      leakedThreadsMax: 2,
      caution: new Caution(1),
      circuitChanged: () => undefined,
    });
  }

  /** What runs its skills, and what is registered there. */
  #host(random: Random, surroundings: Surroundings): { readonly registry: SkillRegistry; readonly executor: HostExecutor; readonly retries: ArrayBuffer } {
    const { plugin: make, provided, log = () => undefined, consumer = queueName, isUndone = true, realDates } = this.#options;
    const plugin = make(this, () => this.#executor);
    const { skills, dependencies } = plugin;
    // Only who decides about the end of a run need know that it is critical.
    const decided = isUndone ? skills : skills.map((skill) => ({ ...skill, critical: false }));
    const registry = registryOf({ skills: decided, dependencies }, surroundings, provided);
    const retries = new ArrayBuffer(retryLedgerBytes);
    const names = dependencies.map(({ name }) => name);
    const executor = new HostExecutor({ realDates, provided, clock: this.#clock, random, retries, consumer, skills, dependencies: names, surroundings, log });
    return { registry, executor, retries };
  }

  get isDead(): boolean {
    return this.#clock.isDead;
  }

  /** Code of a skill, or of a test's answer, is at work in it. */
  get isAtWork(): boolean {
    return !this.isDead && this.#executor.isAtWork;
  }

  /** When the resources of all its threads are closed. */
  closed(): Promise<void> {
    return this.#executor.closed();
  }

  kill(): void {
    if (this.isDead) return;
    this.connection.kill();
    this.#executor.kill();
    this.#options.killed(this);
  }

  loseThread(): void {
    this.#options.threadLost();
    this.#executor.loseThread();
  }
}

/** They outlive the processes that draw on them. */
function sharedLimits(limits: Pick<SharedLimits, "draw">): SharedLimits {
  return { start: () => Promise.resolve(), stop: () => Promise.resolve(), draw: (draws) => limits.draw(draws) };
}

function registryOf({ skills, dependencies }: SimulatedPlugin, surroundings: Surroundings, provided: Provided | undefined): SkillRegistry {
  const plugin = {
    name: "simulated",
    version: "1.0.0",
    folder: "",
    entry: "",
    listedAs: "",
    slow: [],
    skills,
    dependencies,
    resources: [],
    settings: undefined,
  };
  return new SkillRegistry([plugin], surroundings, provided?.contracts);
}
