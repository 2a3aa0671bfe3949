/**
 * How long what a killed worker held takes to end elsewhere, and what it waits for: the broker keeps a message locked until the
 * lock ends, whoever is there to take it; what is left is the time after that. A message may be hit again by a further kill.
 */
import { originHeader, waitsForHeader } from "#runtime/core/copy.ts";
import type { InspectedMessage } from "#load/broker/inspection.ts";
import type { BrokerControl } from "#load/dev/broker-account.ts";

interface Held {
  /** When the first worker was killed that had it in its hands; `performance.now()`. */
  readonly sinceMs: number;
  /** What was left of its lock at each kill. */
  readonly locksMs: number[];
}

export interface Recovery {
  readonly totalMs: number;
  readonly waitedForLocksMs: number;
  /** Workers that were killed with it in their hands. */
  readonly kills: number;
}

/** What copies wait for of which nothing was tried since the kill; a copy after a failed try says that its run had gone on. */
const untried: readonly unknown[] = ["held", "not-started"];

/** The message that it carries on: a copy whose run was not tried counts as that which it was made of. */
function nameOf({ applicationProperties, messageId, sequenceNumber }: InspectedMessage): string {
  const isUntried = untried.includes(applicationProperties[waitsForHeader]);
  return String((isUntried ? applicationProperties[originHeader] : undefined) ?? (messageId || sequenceNumber));
}

export class Recoveries {
  readonly #broker: Pick<BrokerControl, "waiting">;
  readonly #held = new Map<string, Held>();
  /** Of each message that a killed worker had in its hands, until it had left the queue, or its run was tried again. */
  readonly messages: Recovery[] = [];
  /** Kills that met a worker with messages in its hands. */
  killsAtWork = 0;

  constructor(broker: Pick<BrokerControl, "waiting">) {
    this.#broker = broker;
  }

  /** To be called just after a worker was killed, with how the broker calls who holds its locks. */
  async killed(holder: string): Promise<void> {
    const nowMs = performance.now();
    const wallMs = Date.now();
    let count = 0;
    for await (const message of this.#broker.waiting()) {
      const { lock } = message;
      if (lock?.holder.includes(holder) !== true) continue;
      count += 1;
      const name = nameOf(message);
      const held = this.#held.get(name) ?? { sinceMs: nowMs, locksMs: [] };
      held.locksMs.push(Math.max(0, Date.parse(lock.until) - wallMs));
      this.#held.set(name, held);
    }
    if (count > 0) this.killsAtWork += 1;
  }

  /** Compares with what is in the queue now. */
  async look(): Promise<void> {
    if (this.#held.size === 0) return;
    const present = new Set<string>();
    for await (const message of this.#broker.waiting()) present.add(nameOf(message));
    const nowMs = performance.now();
    for (const [name, { sinceMs, locksMs }] of this.#held) {
      if (present.has(name)) continue;
      this.#held.delete(name);
      const waitedForLocksMs = locksMs.reduce((sum, ms) => sum + ms, 0);
      this.messages.push({ totalMs: nowMs - sinceMs, waitedForLocksMs, kills: locksMs.length });
    }
  }
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

/** A line for each number of kills that messages lived through, and one for all. */
export function recoveryLines(messages: readonly Recovery[]): string[] {
  const seconds = (values: readonly number[]): string => `${(quantile(values, 0.5) / 1_000).toFixed(1)} / ${(quantile(values, 0.99) / 1_000).toFixed(1)} s`;
  const line = (name: string, some: readonly Recovery[]): string => {
    const total = some.map(({ totalMs }) => totalMs);
    const locks = some.map(({ waitedForLocksMs }) => waitedForLocksMs);
    const after = some.map(({ totalMs, waitedForLocksMs }) => Math.max(0, totalMs - waitedForLocksMs));
    return `  ${name.padEnd(16)}${String(some.length).padStart(6)} messages; p50 / p99: ${seconds(total)}, of which waiting for locks to end ${seconds(locks)}, after that ${seconds(after)}`;
  };
  const byKills = [...Map.groupBy(messages, ({ kills }) => kills)].toSorted(([one], [other]) => one - other);
  return [...byKills.map(([kills, some]) => line(kills === 1 ? "hit once" : `hit ${kills} times`, some)), line("all", messages)];
}
