// The whole pipeline under faults, from one seed: two workers share a store and a broker; messages come twice, also after their
// event was given up, fail, hang and are malformed; calls and answers are lost; the store and the broker go away; locks are lost;
// workers freeze, die and are replaced. Then the weather calms down, everything must come to an end, and the account must balance.
import { strict as assert } from "node:assert";
import type { Random } from "#runtime/core/clock.ts";
import { type LoadSheddingPolicy, defaultLoadSheddingPolicy } from "#runtime/core/load-shedding.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { RunAnswer } from "#runtime/core/outcome.ts";
import { type DependencyPolicy, defaultRetryPolicy, type SkillPolicy } from "#runtime/core/skill.ts";
import { eventViolations, hasEndedUnseen } from "./event-account.ts";
import type { Stored } from "#runtime/testing/world/model-queue.ts";
import { dependencyPolicy, type Process, skillPolicy, World } from "./pipeline-world.ts";
import { completedAnswer, failedAnswer, type ScriptedRun } from "./scripted-executor.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";

const timeoutMs = 4_000;
const retry = { ...defaultRetryPolicy, baseDelayMs: 2_000, delayFactor: 3, delayMaxMs: 10_000 };
const allSkills: readonly SkillPolicy[] = [
  skillPolicy("plain", { timeoutMs, retry }),
  skillPolicy("steps", { timeoutMs, retry }),
  skillPolicy("pay", { timeoutMs, retry }),
  skillPolicy("calls", { timeoutMs, retry, uses: [0] }),
  skillPolicy("both", { timeoutMs, retry, uses: [0, 1] }),
];
const dependencies: readonly DependencyPolicy[] = [
  dependencyPolicy("api", { concurrentMax: 3, queueMax: 5 }, { failureThreshold: 4, resetTimeoutMs: 3_000, halfOpenMax: 2 }),
  dependencyPolicy("model", { concurrentMax: 2, queueMax: 2 }, { failureThreshold: 3, resetTimeoutMs: 5_000, halfOpenMax: 1 }),
];
const budgetMs = 5_000;
const stormMs = 120_000;
/** Long enough for every retry, postponement, lock and lease after the storm. */
const calmMaxMs = 1_800_000;

export interface SimulationReport {
  readonly messages: number;
  readonly executions: number;
  readonly simulatedMs: number;
  /** How often each thing happened, over all workers. */
  readonly happened: Readonly<Record<string, number>>;
}

class Simulation {
  readonly #random: Random;
  readonly #world: World;
  /** One to all of them, so that pools of one kind of work are met too. */
  readonly #skills: readonly SkillPolicy[];
  readonly #inFlightMax: number;
  /** In a third of all seeds, what does not run soon may be shed, whatever it is. */
  readonly #loadShedding: LoadSheddingPolicy;
  readonly #processes: Process[] = [];
  /** Every worker there ever was. */
  readonly #all: Process[] = [];
  readonly #events = new Map<string, { readonly type: string; readonly doom: RunAnswer | undefined; readonly steps: number; readonly emits: number }>();
  readonly #effects = new Map<string, number>();
  readonly #happened = new Map<string, number>();
  readonly #violations: string[] = [];
  #isStormy = true;
  #executions = 0;
  #messages = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    const skills = allSkills.filter(() => this.#chance(0.6));
    this.#skills = skills.length > 0 ? skills : allSkills;
    this.#inFlightMax = this.#between(4, 60);
    this.#loadShedding = { ...defaultLoadSheddingPolicy, enabled: seed % 3 === 0, upTo: "high", queueAgeMs: 200, postponementsMax: 10 };
    this.#world = new World({
      seed,
      skills: this.#skills,
      dependencies,
      calmAt: this.#chance(0.5) ? 1 : 16,
      broker: { lockMs: 2_000 + Math.floor(this.#random() * 10_000), deliveriesMax: 10 },
    });
  }

  async run(): Promise<SimulationReport> {
    const { clock } = this.#world;
    await this.#world.records.start();
    await this.#startWorker();
    await this.#startWorker();
    this.#sendLater();
    this.#chaosLater();
    await clock.advance(stormMs);
    await this.#calmDown();
    await this.#settleAll();
    await this.#check();
    await Promise.all(this.#processes.map((process) => clock.finish("a worker to stop", process.worker.stop(budgetMs))));
    return {
      messages: this.#messages,
      executions: this.#executions,
      simulatedMs: clock.monotonicMs(),
      happened: Object.fromEntries([...this.#happened].toSorted(([one], [other]) => one.localeCompare(other))),
    };
  }

  #chance(rate: number): boolean {
    return this.#random() < rate;
  }

  #between(low: number, high: number): number {
    return Math.floor(low + this.#random() * (high - low));
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[this.#between(0, items.length)];
  }

  #count(what: string, times = 1): void {
    this.#happened.set(what, (this.#happened.get(what) ?? 0) + times);
  }

  #violate(what: string): void {
    this.#violations.push(`${what} (at ${this.#world.clock.monotonicMs()} ms)`);
  }

  async #startWorker(): Promise<void> {
    const process = this.#world.process({ inFlightMax: this.#inFlightMax, loadShedding: this.#loadShedding, storeHoldMaxMs: 15_000, silenceMaxMs: 5_000 });
    const { executor, brokerFaults, storeFaults } = process;
    executor.script = (run) => this.#execute(run);
    executor.effect = (run, step) => this.#effect(process, run, step);
    this.#all.push(process);
    if (this.#isStormy) {
      for (const fault of ["settle-lost", "settle-answer-lost", "send-refused", "send-answer-lost", "renew-unknown"] as const) brokerFaults.set(fault, 0.02);
      brokerFaults.set("lock-lost", 0.01);
      brokerFaults.set("disturbed", 0.05);
      storeFaults.set("call-lost", 0.003);
      storeFaults.set("answer-lost", 0.003);
    }
    await process.worker.start();
    this.#processes.push(process);
  }

  // What arrives.

  #sendLater(): void {
    this.#world.clock.after(this.#between(1, 400), () => {
      if (!this.#isStormy) return;
      const burst = this.#chance(0.1) ? this.#between(1, 40) : 1;
      for (let index = 0; index < burst; index += 1) this.#send();
      this.#sendLater();
    });
  }

  #send(): void {
    const world = this.#world;
    this.#messages += 1;
    if (this.#chance(0.02)) return world.send(world.message("no good id", "plain"));
    if (this.#chance(0.01)) return world.send(world.message(`unknown-${this.#messages}`, "unheard-of"));
    const known = [...this.#events.keys()];
    const repeated = this.#chance(0.1) ? this.#pick(known) : undefined;
    if (repeated !== undefined) {
      const type = this.#events.get(repeated)?.type ?? "plain";
      const isOther = this.#chance(0.1);
      this.#count(isOther ? "reused id" : "duplicate sent");
      return world.send(world.message(repeated, type, isOther ? { other: this.#messages } : {}));
    }
    const eventId = `event-${this.#messages}`;
    const type = this.#pick(this.#skills)?.name ?? "plain";
    this.#events.set(eventId, {
      type,
      doom: this.#chance(0.03) ? this.#doom() : undefined,
      steps: type === "plain" ? 0 : this.#between(1, 4),
      emits: this.#chance(0.3) ? this.#between(1, 3) : 0,
    });
    world.send(world.message(eventId, type));
  }

  #doom(): RunAnswer {
    return this.#chance(0.5) ? failedAnswer("EWRONG", {}, false) : { kind: "invalid", invalid: { reason: "InvalidPayload", description: "expected better" } };
  }

  // What runs.

  async #execute(run: ScriptedRun): Promise<RunAnswer> {
    const event = this.#events.get(run.eventId);
    assert.ok(event !== undefined, `expected only known events to run, got ${run.eventId}`);
    this.#executions += 1;
    await run.takes(this.#between(0, 50));
    for (let step = 0; step < event.steps; step += 1) {
      const kind = event.type === "pay" && step === 0 ? "atMostOnce" : "keyed";
      const trouble = this.#isStormy ? this.#trouble(run) : undefined;
      await run.step(`step ${step}`, { kind, takesMs: this.#between(0, 120), ...(trouble === undefined ? {} : { fails: trouble }) });
    }
    for (const number of this.#usesOf(event.type)) run.called(dependencies[number]?.name ?? "", this.#isStormy && this.#chance(0.2) ? "failed" : "succeeded");
    if (event.doom !== undefined) return event.doom;
    if (this.#isStormy && this.#chance(0.1)) return this.#trouble(run) ?? failedAnswer();
    if (event.emits === 0) return completedAnswer;
    return { kind: "completed", outbox: Array.from({ length: event.emits }, (_, index) => this.#emitted(run.eventId, index)) };
  }

  #usesOf(type: string): readonly number[] {
    return allSkills.find((skill) => skill.name === type)?.uses ?? [];
  }

  #emitted(eventId: string, index: number): OutgoingMessage {
    return { messageId: `${eventId}:0:${index}`, body: new Uint8Array(1), headers: { eventType: "emitted", causationId: eventId } };
  }

  /** What goes wrong in an execution now, if something does. */
  #trouble(run: ScriptedRun): RunAnswer | undefined {
    const draw = this.#random();
    if (draw < 0.04) return failedAnswer();
    if (draw < 0.05) return failedAnswer("EBUSY", { retryAfterMs: this.#between(1, 5_000) });
    if (draw < 0.06) {
      const thread = this.#all.find((process) => process.executor.running.includes(run));
      if (this.#chance(0.2)) thread?.executor.loseThread("it ran out of memory");
      else thread?.executor.answer(run, { kind: "thread-lost", part: "suspect", why: "it crashed" });
      this.#count("thread lost");
    }
    if (draw < 0.07 && this.#usesOf(run.order.skill).length > 0) return failedAnswer("CIRCUIT_OPEN", { retryAfterMs: 1_000 });
    return undefined;
  }

  /** An effect begins: the store must know its run under this epoch, and must not know its step as completed. */
  #effect(process: Process, run: ScriptedRun, step: string): void {
    const { eventId, order } = run;
    const key = `${eventId} ${step}`;
    this.#effects.set(key, (this.#effects.get(key) ?? 0) + 1);
    if (this.#events.get(eventId)?.type === "pay" && step === "step 0" && this.#effects.get(key) !== 1)
      this.#violate(`an atMostOnce effect of ${eventId} began twice`);
    for (const gate of process.worker.view().gates) if (gate.inUse > gate.concurrentMax) this.#violate(`bulkhead ${gate.dependency} holds ${gate.inUse}`);
    if (process.worker.view().inFlight > this.#inFlightMax) this.#violate(`${process.worker.view().inFlight} messages in flight`);
    void this.#world.records.read(eventId).then((record) => {
      if (record?.epoch !== order.epoch) this.#violate(`${key} began under epoch ${order.epoch} while the record has ${record?.epoch}`);
      if (record?.steps.some((known) => known.name === step && known.state === "completed") === true)
        this.#violate(`${key} began again while its checkpoint survives`);
    });
    // It hangs: its run times out, and the effect succeeds later.
    if (this.#isStormy && this.#chance(0.02)) run.leaveHanging();
  }

  // What goes wrong around it.

  #chaosLater(): void {
    this.#world.clock.after(this.#between(100, 6_000), () => {
      if (!this.#isStormy) return;
      this.#chaos();
      this.#chaosLater();
    });
  }

  #chaos(): void {
    const { clock, broker } = this.#world;
    const process = this.#pick(this.#processes);
    if (process === undefined) return;
    const forMs = this.#chance(0.2) ? this.#between(5_000, 40_000) : this.#between(10, 3_000);
    switch (this.#between(0, 8)) {
      case 0: {
        const victims = this.#chance(0.5) ? [process] : this.#processes;
        this.#count("store outage");
        for (const { store } of victims) {
          store.isDown = true;
          clock.after(forMs, () => (store.isDown = false));
        }
        return;
      }
      case 1:
        this.#count("freeze");
        process.clock.freeze(forMs);
        return;
      case 2:
        this.#count("kill");
        process.kill();
        this.#replaceLater(process);
        return;
      case 3:
        this.#count("stop");
        this.#remove(process);
        void process.worker.stop(budgetMs);
        this.#replaceLater(process);
        return;
      case 4:
        this.#count("broker outage");
        process.connection.isDown = true;
        clock.after(forMs, () => (process.connection.isDown = false));
        return;
      case 5:
        this.#count("silent receiver");
        for (const receiver of process.connection.receivers) receiver.isMute = true;
        return;
      default: {
        const locked = broker.stored.filter((one) => one.state === "locked");
        const victim = this.#pick(locked);
        if (victim !== undefined) broker.loseLock(victim);
        this.#count("lock lost");
      }
    }
  }

  #remove(process: Process): void {
    const at = this.#processes.indexOf(process);
    if (at >= 0) this.#processes.splice(at, 1);
  }

  #replaceLater(process: Process): void {
    this.#remove(process);
    this.#world.clock.after(this.#between(0, 10_000), () => void this.#startWorker());
  }

  // The end.

  async #calmDown(): Promise<void> {
    this.#isStormy = false;
    for (const { store, connection, brokerFaults, storeFaults } of this.#all) {
      store.isDown = false;
      connection.isDown = false;
      brokerFaults.off();
      storeFaults.off();
    }
    await this.#world.clock.advance(60_000);
  }

  async #settleAll(): Promise<void> {
    const { clock, broker } = this.#world;
    await clock
      .until("every message to be settled", () => broker.open.length === 0, calmMaxMs, 1_000)
      .catch((error: unknown) => {
        this.#violate(`${String(error)}; open: ${broker.open.map((one) => `${one.message.messageId} ${one.state}`).join(", ")}`);
      });
    await clock.advance(30_000);
  }

  async #check(): Promise<void> {
    const byEvent = Map.groupBy(this.#world.broker.stored, (one) => String(one.message.headers["eventId"]));
    for (const [eventId, event] of this.#events) await this.#checkEvent(eventId, event.emits, byEvent.get(eventId) ?? []);
    for (const { message } of this.#world.broker.published) {
      const record = await this.#world.records.read(String(message.headers["causationId"]));
      if (record?.state !== "done") this.#violate(`${message.messageId} was published although its run is ${record?.state}`);
    }
    for (const process of this.#processes) {
      const { inFlight, executing, gates } = process.worker.view();
      const ended = process.telemetry.outcomes.length;
      if (ended !== process.connection.handedOut) this.#violate(`a worker got ${process.connection.handedOut} deliveries and ended ${ended}`);
      if (inFlight > 0 || executing > 0) this.#violate(`a worker still holds ${inFlight} messages and executes ${executing} runs`);
      for (const gate of gates)
        if (gate.inUse > 0 || gate.waiting > 0) this.#violate(`gate ${gate.dependency} still holds ${gate.inUse} slots and ${gate.waiting} runs`);
    }
    for (const { telemetry, brokerFaults, storeFaults } of this.#all) {
      for (const event of telemetry.events) {
        this.#count(event.type);
        if (event.type === "run.postponed" && event.why === "shed") this.#count("shed");
      }
      for (const outcome of telemetry.outcomes) this.#count(`outcome ${outcome}`);
      for (const counts of [brokerFaults.counts, storeFaults.counts]) for (const [fault, times] of counts) this.#count(`fault ${fault}`, times);
    }
    assert.deepEqual(this.#violations, []);
  }

  async #checkEvent(eventId: string, emits: number, messages: readonly Stored[]): Promise<void> {
    const record = await this.#world.records.read(eventId);
    this.#count(`record ${record?.state ?? "none"}`);
    for (const { reason } of messages) if (reason !== undefined) this.#count(`reason ${reason}`);
    for (const violation of eventViolations(record, messages)) this.#violate(`${eventId} ${violation}`);
    if (record?.state !== "done") return;
    const published = new Set(this.#world.broker.published.flatMap(({ message }) => (message.headers["causationId"] === eventId ? [message.messageId] : [])));
    const expected = await Promise.all(Array.from({ length: emits }, (_, index) => this.#world.idPublished(`${eventId}:0:${index}`)));
    const missing = expected.filter((id) => !published.has(id));
    if (missing.length > 0 && !hasEndedUnseen(messages)) this.#violate(`${eventId} is done and did not publish ${missing.join()}`);
    if (published.size > expected.length) this.#violate(`${eventId} published ${[...published].join()}`);
  }
}

/** Runs one simulation; throws with what was violated. */
export function simulate(seed: number): Promise<SimulationReport> {
  return new Simulation(seed).run();
}
