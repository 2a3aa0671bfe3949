/** Critical runs beside the stream, which all fail for good and have to be undone. */
import { setTimeout as pause } from "node:timers/promises";
import type { RunView } from "#runtime/core/run.ts";
import type { World } from "#load/dev/world.ts";
import type { EffectCall } from "../effects/effect-ledger.ts";
import { eventMessage } from "../effects/event-message.ts";
import { judge, type SentEvent, type Verdict } from "../effects/judge.ts";

const tickMs = 100;

export class Sagas {
  readonly #world: World;
  readonly #events: SentEvent[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  async send(count: number, perSecond: number): Promise<void> {
    const { publisher, queue } = this.#world;
    const startedMs = performance.now();
    while (this.#events.length < count) {
      const due = Math.min(count, Math.ceil(((performance.now() - startedMs) * perSecond) / 1_000));
      const ids = Array.from({ length: due - this.#events.length }, (_, index) => `saga-${this.#events.length + index}`);
      for (const eventId of ids) this.#events.push({ eventId, kind: "Saga" });
      if (ids.length > 0)
        await publisher.send(
          queue,
          ids.map((eventId) => eventMessage(eventId, "Saga", {})),
        );
      await pause(tickMs);
    }
  }

  async judge(calls: readonly EffectCall[]): Promise<Verdict & { readonly undone: number }> {
    const { store, broker } = this.#world;
    const records = new Map<string, RunView>();
    for (const { eventId } of this.#events) {
      const record = await store.read(eventId);
      if (record !== undefined) records.set(eventId, record);
    }
    const deadLetters = new Map<string, string[]>();
    for await (const { applicationProperties, deadLetterReason } of broker.deadLetters()) {
      const eventId = String(applicationProperties["eventId"]);
      deadLetters.set(eventId, [...(deadLetters.get(eventId) ?? []), deadLetterReason ?? ""]);
    }
    const verdict = judge({ events: this.#events, calls, deadLetters, records, wereRecordsLost: false, areTimesComparable: true });
    return { ...verdict, undone: this.#events.filter(({ eventId }) => deadLetters.has(eventId)).length };
  }
}
