/** What a worker tells the others of its pool. */
import { hostname } from "node:os";
import { systemClock } from "../adapters/system/clock.ts";
import { ownVersion } from "../adapters/system/version.ts";
import type { Statistics } from "../adapters/telemetry/statistics.ts";
import { Fleet, type FleetOptions } from "../admin/fleet.ts";

export function composeFleet({
  board,
  workerId,
  threads,
  view,
  statistics,
}: Pick<FleetOptions, "board" | "workerId" | "threads" | "view"> & { readonly statistics: Pick<Statistics, "snapshot"> }): Fleet {
  const counts: FleetOptions["counts"] = () => {
    const { completed, "dead-lettered": deadLettered } = statistics.snapshot().outcomes;
    return { completed, deadLettered };
  };
  return new Fleet({ board, workerId, threads, view, counts, clock: systemClock, host: hostname(), version: ownVersion() });
}
