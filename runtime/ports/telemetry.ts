import type { RuntimeEvent } from "../core/catalogue.ts";

/** How a delivery ended, for counting. */
export type FinalOutcome = "completed" | "duplicate" | "dead-lettered" | "retried" | "postponed" | "released" | "dropped";

/** The run of a delivery, to name it by. */
export interface SettledRun {
  /** Empty when it could not be read. */
  readonly eventId: string;
  /** Number of its last execution, as the skill sees it; 0 when none began. */
  readonly attempt: number;
}

/** Where the runtime reports what happens. Calls are cheap, synchronous and never throw. */
export interface Telemetry {
  /** Once a delivery. `latencyMs`: from the broker's enqueue time to settlement, wall clock. `skill` is empty when none was found. */
  settled(outcome: FinalOutcome, skill: string, latencyMs: number, run: SettledRun): void;
  emit(event: RuntimeEvent): void;
}
