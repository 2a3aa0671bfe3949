/** What the dependencies remember: every deed that was begun, by whom and under which key. */
import { compensationsOf, verdictOf } from "#runtime/core/compensation.ts";
import type { RunView } from "#runtime/core/run.ts";
import type { SimClock } from "#runtime/testing/world/sim-clock.ts";
import type { Records } from "./records.ts";
import type { Deed } from "./scenario.ts";

export interface Entry {
  readonly eventId: string;
  readonly deed: string;
  readonly key: string;
  /** The step whose deed it takes back. */
  readonly undoes: string | undefined;
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
  readonly #records: Records;

  constructor(clock: SimClock, records: Records) {
    this.#clock = clock;
    this.#records = records;
  }

  async perform({ deed, takesMs = 0, isUndoing }: Deed, caller: Caller): Promise<string> {
    await this.#clock.delay(1);
    const { eventId, step, idempotencyKey } = caller;
    this.#judge(deed, isUndoing === true, caller, await this.#records.read(eventId));
    this.entries.push({ eventId, deed, key: idempotencyKey, undoes: isUndoing === true ? step : undefined });
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

  #judge(deed: string, isUndoing: boolean, { eventId, step, epoch }: Caller, record: RunView | undefined): void {
    // Who had begun when the records were lost cannot know it yet.
    if (record === undefined && this.#records.wereLost) return;
    const broken = (what: string): void => void this.violations.push(`'${deed}' of ${eventId} began ${what}`);
    if (record?.epoch !== epoch) broken(`under epoch ${epoch}, its record has ${record?.epoch}`);
    const steps = record?.steps ?? [];
    const hasFailed = verdictOf(steps) !== undefined;
    if (!isUndoing) {
      if (hasFailed) broken("after its run had failed for good");
      if (steps.some(({ name, state }) => name === step && state === "completed")) broken(`again while the checkpoint of its step '${step}' survives`);
      return;
    }
    if (!hasFailed) broken("before its run had failed for good");
    const entered = compensationsOf(steps).get(step ?? "")?.state;
    if (entered !== "trying") broken(`with '${entered ?? "nothing"}' entered in the log of compensations, expected 'trying'`);
  }
}
