/** What a platform asks a worker before it restarts it, sends it messages' worth of replicas, or waits for it. Each answer says why not. */
import type { WorkerView } from "../pipeline/worker-view.ts";
import { waitsFor } from "./worker-state.ts";

/** Where a worker is in its life. */
export interface Life {
  readonly phase: "starting" | "running" | "stopping";
  /** Why only a new process helps; undefined while nothing says so. */
  readonly wornOut: string | undefined;
}

export interface Health {
  readonly isWell: boolean;
  /** For people; empty when it is well. */
  readonly why: readonly string[];
}

function healthOf(why: readonly string[]): Health {
  return { isWell: why.length === 0, why };
}

/** A process that cannot answer at all is not live either; one that waits for something outside is, for a restart would not bring it. */
export function liveness({ wornOut }: Life): Health {
  return healthOf(wornOut === undefined ? [] : [`only a new process helps: ${wornOut}`]);
}

export function readiness({ phase }: Life, view: WorkerView): Health {
  switch (phase) {
    case "starting":
      return healthOf(["it has not started yet"]);
    case "stopping":
      return healthOf(["it stops"]);
    case "running":
      return healthOf([...(view.isPaused ? ["it was paused by hand"] : []), ...waitsFor(view).map((what) => `it waits for ${what}`)]);
  }
}

export function startup({ phase }: Life): Health {
  return healthOf(phase === "starting" ? ["broker, store or skill threads have not all started yet"] : []);
}
