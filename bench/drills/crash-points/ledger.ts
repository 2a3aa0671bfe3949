/** What the dependencies remember: every deed that was begun, by whom and under which key. */
import type { RunStore } from "#runtime/ports/run-store.ts";
import type { SimClock } from "../../../test/support/sim-clock.ts";
import type { Deed } from "./scenario.ts";

export interface Entry {
  readonly eventId: string;
  readonly deed: string;
  readonly key: string;
}

interface Caller {
  readonly eventId: string;
  readonly step: string | undefined;
  readonly idempotencyKey: string;
  readonly epoch: number;
}

export class Ledger {
  readonly entries: Entry[] = [];
  readonly violations: string[] = [];
  readonly #clock: SimClock;
  readonly #records: RunStore;

  constructor(clock: SimClock, records: RunStore) {
    this.#clock = clock;
    this.#records = records;
  }

  async perform({ deed, takesMs = 0 }: Deed, { eventId, step, idempotencyKey, epoch }: Caller): Promise<string> {
    await this.#clock.delay(1);
    const record = await this.#records.read(eventId);
    if (record?.epoch !== epoch) this.violations.push(`'${deed}' of ${eventId} began under epoch ${epoch}, its record has ${record?.epoch}`);
    if (record?.steps.some(({ name, state }) => name === step && state === "completed") === true)
      this.violations.push(`'${deed}' of ${eventId} began again while the checkpoint of its step '${step}' survives`);
    this.entries.push({ eventId, deed, key: idempotencyKey });
    await this.#clock.delay(takesMs + 1);
    return `${deed} done`;
  }

  async search(eventId: string, deed: string): Promise<string | undefined> {
    await this.#clock.delay(2);
    return this.of(eventId, deed).length > 0 ? `${deed} done` : undefined;
  }

  of(eventId: string, deed: string): readonly Entry[] {
    return this.entries.filter((entry) => entry.eventId === eventId && entry.deed === deed);
  }
}
