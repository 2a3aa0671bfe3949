/**
 * Load shedding by priority, as it is done: what policy/load-shedding.ts wants to know of the worker and of each message, and what it
 * decides. What is shed goes back to the queue as a scheduled copy, before it is claimed, and no attempt is counted.
 */
import type { Clock, Random } from "../core/clock.ts";
import { expiresAtMs, isUntouched, postponementsOf } from "../core/copy.ts";
import type { Delivery } from "../core/delivery.ts";
import type { Settlement } from "../core/settlement.ts";
import type { SkillPolicy } from "../core/skill.ts";
import { type Priority, type PriorityRules, asPriority, defaultPriority } from "../core/priority.ts";
import { postponeMaxMs } from "../policy/backoff.ts";
import type { BrokerClock } from "../policy/broker-clock.ts";
import type { LoadShedding, SheddingCause } from "../policy/load-shedding.ts";
import type { LoopWatch } from "../policy/loop-watch.ts";
import type { MemoryWatch } from "../policy/memory-watch.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { InFlight } from "./in-flight.ts";
import type { Intake } from "./intake.ts";
import type { Work } from "./work.ts";

/** What is shed lives at least for so many of the longest pauses yet. */
const pausesLeftMin = 2;

export interface SheddingOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly brokerClock: BrokerClock;
  readonly telemetry: Telemetry;
  readonly inFlight: InFlight;
  readonly intake: Intake;
  readonly memoryWatch: MemoryWatch;
  readonly loopWatch: LoopWatch;
  readonly policy: LoadShedding;
  readonly priorities: PriorityRules;
}

export class Shedding {
  readonly #options: SheddingOptions;
  readonly policy: LoadShedding;
  /** Of the last, or present, time of shedding. */
  #why: SheddingCause = "queue-age";
  #shedBefore = 0;

  constructor(options: SheddingOptions) {
    this.#options = options;
    this.policy = options.policy;
  }

  get isActive(): boolean {
    return this.policy.isActive;
  }

  /** The youngest message of a batch has come. One that was delivered before says nothing of how long the queue is. */
  arrived(youngest: Delivery, brokerNowMs: number): void {
    if (this.policy.isEnabled && youngest.attempt === 1) this.policy.arrived(Math.max(0, brokerNowMs - youngest.enqueuedAtMs));
  }

  /** Once a second. */
  look(): void {
    const { memoryWatch, loopWatch, inFlight } = this.#options;
    if (this.policy.look({ memory: memoryWatch.pressure, loop: loopWatch.pressure }, inFlight.size === 0)) this.changed();
  }

  /** It began, or ended. */
  changed(): void {
    const { isActive, why, queueAgeMs, shed } = this.policy.view();
    const shedInAll = shed.low + shed.normal + shed.high;
    if (isActive) {
      this.#why = why ?? this.#why;
      this.#shedBefore = shedInAll;
    }
    this.#options.telemetry.emit({
      type: "load-shedding.changed",
      state: isActive ? "shedding" : "off",
      why: this.#why,
      queueAgeMs: Math.round(queueAgeMs),
      shed: shedInAll - this.#shedBefore,
    });
  }

  /** Whether a message that is not claimed yet goes back, so that others begin in its place; asked while it is active. */
  sheds(work: Work, skill: SkillPolicy): boolean {
    const { clock, brokerClock, random, intake } = this.#options;
    const { delivery } = work;
    const leftMs = expiresAtMs(delivery) - brokerClock.nowMs();
    const arrival = {
      priority: this.#priorityOf(work),
      // Of a session nothing else is here, and nothing may go before it.
      mayWait: work.turn === undefined && leftMs > postponeMaxMs * pausesLeftMin && isUntouched(delivery),
      usage: intake.usage(work.source, skill),
      postponements: postponementsOf(delivery),
    };
    const answer = this.policy.decide(arrival, clock.monotonicMs(), random);
    work.isSurplus = answer === "give-up";
    return answer === "shed";
  }

  #priorityOf(work: Work): Priority {
    const { property, project, tenant, eventType, skill } = this.#options.priorities;
    const told = property === false ? undefined : asPriority(work.delivery.header(property));
    return (
      told ??
      (project.size === 0 ? undefined : project.get(work.limitKey("project"))) ??
      (tenant.size === 0 ? undefined : tenant.get(work.limitKey("tenant"))) ??
      eventType.get(work.route?.eventType ?? "") ??
      skill.get(work.skillName) ??
      defaultPriority
    );
  }
}

/** What becomes of a message that was shed as often as it may be, where it is not to be run then. */
export function surplus({ delivery }: Pick<Work, "delivery">): Extract<Settlement, { kind: "dead-letter" }> {
  const times = postponementsOf(delivery);
  const description = `expected room for an event of its priority, found the workers over their bounds each of the ${times} times that it came; send it again when they are not, raise loadShedding.postponementsMax, or start more workers`;
  return { kind: "dead-letter", state: "dead", reason: "LoadShed", description, cause: { class: "throttled", code: "LoadShed", message: description } };
}
