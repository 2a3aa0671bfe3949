// The short form of `npm run drill -- order`, on the test's clock and from a seed: three workers share sessions whose messages
// fail; workers die and are replaced, locks are lost, links end, answers get lost. For each session the order of effects is the
// order of sending, each message once.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { SessionFailure } from "#runtime/core/config/sessions.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";

const retry = { ...defaultRetryPolicy, attemptsMax: 3, immediateMax: 1, baseDelayMs: 500, delayFactor: 2, delayMaxMs: 4_000 };
const skills = [skillPolicy("task", { retry, timeoutMs: 20_000 })];
const sessions = Array.from({ length: 20 }, (_, index) => `s${index}`);
const messages = 20;
const stormMs = 60_000;

class Storm {
  readonly world = new World({ skills, broker: { requiresSessions: true, lockMs: 5_000, deliveriesMax: 1_000 } });
  /** Of each session the messages in the order in which their effects began, and what came of them. */
  readonly effects = new Map<string, string[]>();
  readonly #random: () => number;
  readonly #onFailure: SessionFailure;
  readonly #workers: Process[] = [];
  #isStormy = true;

  constructor(seed: number, onFailure: SessionFailure) {
    this.#random = seededRandom(seed);
    this.#onFailure = onFailure;
  }

  /** Fails for good, where that is the policy's to bear. */
  static isDoomed(eventId: string): boolean {
    return Number(eventId.split("-")[1]) % 7 === 3;
  }

  async start(): Promise<void> {
    const sessionsSettings = { concurrentMax: 4, idleMs: 500, turnMs: 2_000, onFailure: this.#onFailure };
    const worker = await this.world.start({ sessions: sessionsSettings, source: { deliveriesMax: 999 } }, ({ executor, brokerFaults }) => {
      executor.script = async (run) => {
        await run.step("effect", { takesMs: Math.floor(this.#random() * 40) });
        if (this.#onFailure === "skip" && Storm.isDoomed(run.eventId)) return failedAnswer("DOOMED");
        return this.#isStormy && this.#random() < 0.1 ? failedAnswer() : completedAnswer;
      };
      executor.effect = (run) => {
        const [session = ""] = run.eventId.split("-");
        this.effects.set(session, [...(this.effects.get(session) ?? []), run.eventId]);
      };
      if (!this.#isStormy) return;
      for (const fault of ["settle-lost", "settle-answer-lost", "lock-lost", "renew-unknown", "session-detached"] as const) brokerFaults.set(fault, 0.02);
    });
    this.#workers.push(worker);
  }

  /** Kills workers and ends locks until the weather calms down. */
  async blow(): Promise<void> {
    const { clock, broker } = this.world;
    const untilMs = clock.monotonicMs() + stormMs;
    while (clock.monotonicMs() < untilMs) {
      await clock.advance(500 + Math.floor(this.#random() * 2_000));
      const held = [...(broker.sessions?.held.values() ?? [])];
      held[Math.floor(this.#random() * held.length)]?.lose(this.#random() < 0.5 ? "expired" : "detached");
      if (this.#random() > 0.3) continue;
      const [victim] = this.#workers.splice(Math.floor(this.#random() * this.#workers.length), 1);
      victim?.kill();
      await this.start();
    }
    this.#isStormy = false;
    for (const { brokerFaults } of this.#workers) brokerFaults.off();
  }
}

/** Without immediate repeats: an effect that is tried again, under the same key, before anything else of its session. */
function withoutRepeats(effects: readonly string[]): string[] {
  return effects.filter((event, index) => event !== effects[index - 1]);
}

describe("through kills, lost locks, ended links and failures, sessions keep their order", () => {
  for (const onFailure of ["block", "skip"] as const) {
    for (const seed of [1, 2, 3]) {
      test(`${onFailure}, from seed ${seed}`, async () => {
        const storm = new Storm(seed, onFailure);
        const { world } = storm;
        for (let worker = 0; worker < 3; worker += 1) await storm.start();
        for (let index = 0; index < messages; index += 1) for (const id of sessions) world.send(...world.inSession(id, `${id}-${index}`));
        await storm.blow();
        await world.clock.until("every message to end", () => world.broker.open.length === 0, 600_000);
        const sent = Array.from({ length: messages }, (_, index) => index);
        for (const id of sessions)
          assert.deepEqual(
            withoutRepeats(storm.effects.get(id) ?? []),
            sent.map((index) => `${id}-${index}`),
          );
        const dead = world.broker.deadLettered.map(({ message }) => String(message.headers["eventId"]));
        const doomed = onFailure === "skip" ? sessions.flatMap((id) => sent.map((index) => `${id}-${index}`)).filter((event) => Storm.isDoomed(event)) : [];
        assert.deepEqual(onFailure === "skip" ? doomed.filter((event) => !dead.includes(event)) : dead, []);
        assert.ok(
          world.broker.stored.every(({ message }) => message.scheduledAtMs === undefined),
          "expected no copies",
        );
      });
    }
  }
});
