import type { RunOrder } from "../../ports/executor.ts";

/** An order as it reaches a thread: its times are points on the monotonic clock that all threads of the process share. */
export interface ThreadOrder extends Omit<RunOrder, "leaseMs" | "apart"> {
  readonly leaseUntilMs: number;
}
