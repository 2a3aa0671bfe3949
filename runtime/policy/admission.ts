/**
 * Admission to execution. A run needs, of every dependency it uses, a circuit that lets it pass and a bulkhead slot; it gets
 * all slots together or none, so that runs can never wait for each other's slots. Without a slot it waits in the lane of the
 * first dependency that has none; with that lane full, or a circuit open, it is postponed: messages of a hung dependency
 * are not hoarded here.
 */
import type { CallReport } from "../core/outcome.ts";
import type { PostponeReason } from "../core/settlement.ts";
import type { DependencyPolicy } from "../core/skill.ts";
import { Bulkhead } from "./bulkhead.ts";
import { Circuit, type CircuitState } from "./circuit.ts";

/** Anything that can wait in a lane. */
export interface Admissible {
  /** Numbers of the dependencies it uses. */
  readonly uses: readonly number[];
}

export type AdmissionAnswer =
  | { readonly kind: "admitted" }
  | { readonly kind: "waiting" }
  | { readonly kind: "postponed"; readonly why: PostponeReason; readonly atLeastMs: number };

const admitted: AdmissionAnswer = { kind: "admitted" };
const waiting: AdmissionAnswer = { kind: "waiting" };
const laneFull: AdmissionAnswer = { kind: "postponed", why: "lane-full", atLeastMs: 0 };

interface Gate<Run> {
  readonly name: string;
  readonly bulkhead: Bulkhead<Run>;
  readonly circuit: Circuit;
  /** As last told. */
  told: CircuitState;
}

/** What anyone may see of a dependency's gate. */
export interface GateView {
  readonly dependency: string;
  readonly inUse: number;
  readonly concurrentMax: number;
  readonly waiting: number;
  readonly queueMax: number;
  readonly circuit: CircuitState;
}

export class Admission<Run extends Admissible> {
  readonly #gates: readonly Gate<Run>[];
  readonly #circuitChanged: (dependency: number, name: string, state: CircuitState) => void;

  /** `circuitChanged` hears every change of a circuit's state, when it is noticed. */
  constructor(dependencies: readonly DependencyPolicy[], circuitChanged: (dependency: number, name: string, state: CircuitState) => void) {
    this.#gates = dependencies.map((dependency) => ({
      name: dependency.name,
      bulkhead: new Bulkhead<Run>(dependency.bulkhead),
      circuit: new Circuit(dependency.circuit),
      told: "closed",
    }));
    this.#circuitChanged = circuitChanged;
  }

  /** Takes all slots the run needs, queues it, or says that it must come again later. */
  admit(run: Run, nowMs: number): AdmissionAnswer {
    if (run.uses.length === 0) return admitted;
    for (const number of run.uses) {
      const gate = this.#gate(number);
      this.#tell(number, gate, nowMs);
      if (!gate.circuit.admits(nowMs)) return { kind: "postponed", why: "circuit-open", atLeastMs: gate.circuit.opensInMs(nowMs) };
    }
    const full = this.#firstFull(run);
    if (full === undefined) {
      this.#enter(run, nowMs);
      return admitted;
    }
    if (!full.bulkhead.hasLaneSpace()) return laneFull;
    full.bulkhead.enqueue(run);
    return waiting;
  }

  /** Gives a run's slots back and tells the circuits how its calls went. */
  leave(run: Run, calls: readonly CallReport[], nowMs: number): void {
    for (const number of run.uses) {
      const gate = this.#gate(number);
      gate.bulkhead.give();
      gate.circuit.leave(calls.find((call) => call.dependency === gate.name)?.result ?? "unused", nowMs);
      this.#tell(number, gate, nowMs);
    }
  }

  /** Runs that waited and now have all their slots, and runs whose circuit has opened meanwhile. */
  next(nowMs: number): { readonly admitted: Run[]; readonly postponed: { readonly run: Run; readonly atLeastMs: number }[] } {
    const answer = { admitted: [] as Run[], postponed: [] as { run: Run; atLeastMs: number }[] };
    for (const gate of this.#gates) {
      if (gate.bulkhead.waiting === 0) continue;
      if (gate.circuit.state(nowMs) === "open") {
        const atLeastMs = gate.circuit.opensInMs(nowMs);
        for (const run of gate.bulkhead.drain()) answer.postponed.push({ run, atLeastMs });
        continue;
      }
      for (let run = gate.bulkhead.first(); run !== undefined; run = gate.bulkhead.first()) {
        if (this.#firstFull(run) !== undefined || !this.#circuitsAdmit(run, nowMs)) break;
        gate.bulkhead.dequeue();
        this.#enter(run, nowMs);
        answer.admitted.push(run);
      }
    }
    return answer;
  }

  /** Takes runs out of the lanes whose heads satisfy `late`, oldest first. */
  expire(late: (run: Run) => boolean): Run[] {
    const expired: Run[] = [];
    for (const gate of this.#gates) {
      for (let run = gate.bulkhead.first(); run !== undefined && late(run); run = gate.bulkhead.first()) {
        gate.bulkhead.dequeue();
        expired.push(run);
      }
    }
    return expired;
  }

  view(nowMs: number): GateView[] {
    return this.#gates.map((gate) => ({
      dependency: gate.name,
      inUse: gate.bulkhead.inUse,
      concurrentMax: gate.bulkhead.policy.concurrentMax,
      waiting: gate.bulkhead.waiting,
      queueMax: gate.bulkhead.policy.queueMax,
      circuit: gate.circuit.state(nowMs),
    }));
  }

  #enter(run: Run, nowMs: number): void {
    for (const number of run.uses) {
      const gate = this.#gate(number);
      gate.bulkhead.take();
      gate.circuit.enter(nowMs);
    }
  }

  #firstFull(run: Run): Gate<Run> | undefined {
    for (const number of run.uses) {
      const gate = this.#gate(number);
      if (!gate.bulkhead.hasSlot()) return gate;
    }
    return undefined;
  }

  #circuitsAdmit(run: Run, nowMs: number): boolean {
    return run.uses.every((number) => this.#gate(number).circuit.admits(nowMs));
  }

  #tell(number: number, gate: Gate<Run>, nowMs: number): void {
    const state = gate.circuit.state(nowMs);
    if (state === gate.told) return;
    gate.told = state;
    this.#circuitChanged(number, gate.name, state);
  }

  #gate(number: number): Gate<Run> {
    const gate = this.#gates[number];
    if (gate === undefined) throw new RangeError(`expected a dependency number below ${this.#gates.length}, got ${number}`);
    return gate;
  }
}
