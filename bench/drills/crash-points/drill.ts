/** One case: a scenario with a crash at one point, or with none. */
import type { Clock } from "#runtime/core/clock.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { createPayloadHash } from "#runtime/core/payload-hash.ts";
import { defaultDecodeLimits } from "#runtime/core/read-route.ts";
import { defineDependency, PermanentError } from "#runtime/index.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import type { CallInfo } from "#runtime/skills/author/define-dependency.ts";
import { type Caller, type CrashPoint, IoPoints, type NumberedCall } from "#runtime/testing/world/io-points.ts";
import { ModelBroker, queueName } from "#runtime/testing/world/model-broker.ts";
import { numberedLetters, numberedPublisher, numberedStore } from "#runtime/testing/world/numbered-ports.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";
import { SkillProcess, connect } from "#runtime/testing/world/skill-process.ts";
import { checkPromise } from "./check-promise.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Ledger } from "./ledger.ts";
import { Records } from "./records.ts";
import { replayOnce } from "./replay-command.ts";
import type { Deed, Outside, Scenario, SentEvent } from "./scenario.ts";

/** From a worker's end to its successor's start. */
const restartAfterMs = 1_000;
const lockMs = 10_000;
const stopBudgetMs = 5_000;
/** In simulated time; locks, leases, retries and postponements are over long before. */
const endsWithinMs = 600_000;

export interface CaseOptions {
  /** In the order in which they are met. */
  readonly crashes?: readonly CrashPoint[];
  /** Puts something wrong between a worker and the store, on the worker's clock, for trying out whether the drill finds it. */
  readonly distortStore?: (store: RunStore, clock: Clock) => RunStore;
}

export interface CaseReport {
  readonly violations: readonly string[];
  readonly calls: readonly NumberedCall[];
  /** Simulated, from the crash to the end of the last message; 0 without a crash. */
  readonly recoveryMs: number;
}

class Case {
  readonly clock = new SimClock();
  readonly broker: ModelBroker;
  readonly records: Records;
  readonly letters: DeadLetters;
  readonly points: IoPoints;
  readonly ledger: Ledger;
  readonly scenario: Scenario;
  readonly #options: CaseOptions;
  #current: SkillProcess | undefined;
  #processes = 0;
  #isStoreDown = false;
  #isReplaying = false;
  /** What the scenario has planned and not done yet. */
  #planned = 0;
  #unsent: number;
  #crashedAtMs: number | undefined;
  readonly #violations: string[] = [];

  constructor(scenario: Scenario, options: CaseOptions) {
    const { clock } = this;
    this.scenario = scenario;
    this.#options = options;
    this.#unsent = scenario.events.length;
    this.broker = new ModelBroker({ clock, lockMs });
    this.letters = new DeadLetters(this.broker);
    this.records = new Records(queueName, clock);
    this.points = new IoPoints(clock, options.crashes ?? []);
    this.ledger = new Ledger(clock, this.records);
  }

  async run(): Promise<CaseReport> {
    const { clock, broker, points, scenario } = this;
    await this.records.start();
    this.#startWorker();
    for (const event of scenario.events) clock.after(event.atMs ?? 0, () => this.#send(event));
    scenario.happens?.(this.#happenings());
    const isOver = (): boolean => this.#unsent === 0 && this.#planned === 0 && !this.#isReplaying && broker.open.length === 0;
    try {
      await clock.until("every message to end", isOver, endsWithinMs);
    } catch (error) {
      this.#violations.push(`${String(error)}; open: ${broker.open.map((one) => `${String(one.message.headers["eventId"])} ${one.state}`).join()}`);
    }
    const endedAtMs = clock.monotonicMs();
    // Answers that are still on their way.
    await clock.advance(20);
    points.isOver = true;
    await this.#checkIdle();
    this.#violations.push(...this.ledger.violations, ...(await checkPromise(this, (this.#options.crashes ?? []).length > 0)));
    const recoveryMs = this.#crashedAtMs === undefined ? 0 : endedAtMs - this.#crashedAtMs;
    await this.records.stop();
    return { violations: this.#violations, calls: points.calls, recoveryMs };
  }

  /** A worker that has nothing left holds nothing, and stops at once. */
  async #checkIdle(): Promise<void> {
    const process = this.#current;
    if (process === undefined || process.isGone) return;
    await this.clock.advance(1_000);
    const { inFlight, executing, gates } = process.worker.view();
    if (inFlight + executing > 0) this.#violations.push(`the worker still holds ${inFlight} messages and executes ${executing} runs`);
    for (const { dependency, inUse, waiting } of gates)
      if (inUse + waiting > 0) this.#violations.push(`the gate of ${dependency} still holds ${inUse} slots and ${waiting} runs`);
    process.isGone = true;
    await this.clock.finish("the worker to stop", process.worker.stop(stopBudgetMs), 60_000);
    process.kill();
  }

  #startWorker(): void {
    const process = this.#makeProcess();
    this.#current = process;
    // One that cannot start ends, and is started again, as whatever watches over it would have it.
    process.worker.start().catch(() => process.kill());
  }

  #makeProcess(): SkillProcess {
    const { clock: world, broker, points, scenario } = this;
    this.#processes += 1;
    const process = new SkillProcess({
      world,
      broker,
      points,
      number: this.#processes,
      records: (suspect) => this.records.for(suspect),
      distortStore: this.#options.distortStore,
      plugin: (caller) => {
        const outside = this.#outside(caller);
        return { skills: scenario.skills(outside), dependencies: scenario.dependencies(outside) };
      },
      killed: (killed) => this.#ended(killed),
      threadLost: () => {
        this.#crashedAtMs ??= world.monotonicMs();
      },
    });
    process.store.isDown = this.#isStoreDown;
    return process;
  }

  /** Runs the command that replays letters, and once more when it was killed or could not do all of it. */
  #replay(): void {
    this.#isReplaying = true;
    const { clock: world, points } = this;
    this.#processes += 1;
    const { clock, connection, store } = connect(
      world,
      this.broker,
      this.#processes,
      this.records.for(() => undefined),
    );
    store.isDown = this.#isStoreDown;
    let hasEnded = false;
    const end = (isOver: boolean): void => {
      if (hasEnded) return;
      hasEnded = true;
      connection.kill();
      if (isOver) this.#isReplaying = false;
      else world.after(restartAfterMs, () => this.#replay());
    };
    const caller: Caller = {
      get isDead() {
        return clock.isDead;
      },
      kill: () => {
        this.#crashedAtMs ??= world.monotonicMs();
        end(false);
      },
      loseThread: () => undefined,
    };
    const parts = {
      clock,
      box: numberedLetters(this.letters.boxFor(clock), points, caller),
      store: numberedStore(store, points, caller),
      publisher: numberedPublisher(connection, points, caller),
      hashPayload: createPayloadHash(defaultDecodeLimits),
    };
    replayOnce(parts).then(end, () => end(false));
  }

  /** Whatever ended a worker, another one is started. */
  #ended(process: SkillProcess): void {
    this.#crashedAtMs ??= this.clock.monotonicMs();
    if (process.isGone) return;
    process.isGone = true;
    this.clock.after(restartAfterMs, () => this.#startWorker());
  }

  #outside(caller: Caller): Outside {
    const { points, ledger } = this;
    const lost = (): never => {
      throw Object.assign(new Error("expected an answer, the connection was reset"), { code: "ECONNRESET" });
    };
    const perform = (request: Deed, info: CallInfo): Promise<string> => {
      if (request.refused === true) throw new PermanentError("it is refused", { code: "REFUSED" });
      return points.askFromThread(caller, `call ${request.deed}`, () => ledger.perform(request, info), lost);
    };
    // Tries within a call would wait in real time.
    const retry = { attemptsMax: 1 };
    return {
      nowMs: () => this.clock.monotonicMs(),
      ledger: defineDependency({ name: "ledger", retry, request: perform }),
      search: defineDependency({
        name: "search",
        retry,
        request: ({ eventId, deed }: { readonly eventId: string; readonly deed: string }) =>
          points.askFromThread(caller, `search ${deed}`, () => ledger.search(eventId, deed), lost),
      }),
      dependency: (name, options) => defineDependency({ name, retry, request: perform, ...options }),
    };
  }

  #send({ eventId, eventType = "Task", payload = {} }: SentEvent): void {
    this.#unsent -= 1;
    const envelope = {
      eventId,
      eventType,
      traceId: "trace",
      correlationId: eventId,
      projectId: "drill",
      originatingAgent: "drill",
      version: "1.0",
      timestamp: "2030-01-01T00:00:00.000Z",
      payload,
    };
    const body = Buffer.from(JSON.stringify(envelope));
    this.broker.accept(queueName, [{ messageId: `${eventId}-${this.#unsent}`, contentType: "application/json", headers: eventHeaders(envelope), body }]);
  }

  #happenings(): Parameters<NonNullable<Scenario["happens"]>>[0] {
    const { clock, broker } = this;
    const setStore = (isDown: boolean): void => {
      this.#isStoreDown = isDown;
      if (this.#current !== undefined) this.#current.store.isDown = isDown;
    };
    return {
      at: (atMs, action) => {
        this.#planned += 1;
        clock.after(atMs, () => {
          this.#planned -= 1;
          action();
        });
      },
      storeDown: () => setStore(true),
      storeBack: () => setStore(false),
      storeEmptied: () => void this.records.lose(),
      replayLetters: () => this.#replay(),
      loseThread: () => this.#current?.loseThread(),
      loseLocks: () => {
        for (const one of broker.stored) broker.loseLock(one);
      },
      stopWorker: () => {
        const process = this.#current;
        if (process === undefined || process.isGone) return;
        void process.worker.stop(stopBudgetMs).then(() => process.kill());
      },
    };
  }
}

export function runCase(scenario: Scenario, options: CaseOptions = {}): Promise<CaseReport> {
  return new Case(scenario, options).run();
}
