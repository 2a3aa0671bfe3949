/** Trouble with the broker. */
import { setTimeout as pause } from "node:timers/promises";
import type { FaultKind, FaultRequest } from "#load/broker/protocol/faults.ts";
import { type Fault, ofInfrastructure } from "../fault.ts";

const lastsMs = 5_000;
const strikesEveryMs = 700;

/** Everything at once, again and again. */
function repeated(name: string, what: string, kind: FaultKind, isQuick?: true): Fault {
  return {
    name,
    what,
    ...(isQuick === undefined ? {} : { isQuick }),
    targets: ofInfrastructure,
    async strike(scene) {
      let hits = 0;
      for (let atMs = 0; atMs < lastsMs; atMs += strikesEveryMs) {
        hits += (await scene.addFault({ kind })).hits;
        await pause(strikesEveryMs);
      }
      return () => hits;
    },
  };
}

/** For a while, at a rate. */
function lasting(name: string, what: string, fault: Omit<FaultRequest, "target" | "seed">): Fault {
  return {
    name,
    what,
    targets: ofInfrastructure,
    async strike(scene) {
      const { id } = await scene.addFault({ ...fault, seed: 1 });
      await pause(lastsMs);
      const hits = await scene.hitsOf(id);
      await scene.clearFaults();
      return () => hits;
    },
  };
}

export const brokerFaults: readonly Fault[] = [
  repeated("broker-connections-dropped", "every connection cut, each 0.7 s for 5 s", "drop", true),
  repeated("broker-links-detached", "every link detached, each 0.7 s for 5 s", "detach"),
  repeated("broker-locks-ended", "every lock ended, each 0.7 s for 5 s", "expireLocks"),
  lasting("broker-locks-short", "a fifth of the locks end right after delivery, for 5 s", { kind: "expireLocks", rate: 0.2 }),
  lasting("broker-throttling", "sends, requests and new links refused as server-busy for 5 s", { kind: "throttle", rate: 1 }),
  lasting("broker-settlements-lost", "a third of the settlements never answered, for 5 s", { kind: "loseSettlements", rate: 0.33 }),
  lasting("broker-settlements-late", "settlements answered 3 s late, for 5 s", { kind: "delaySettlements", rate: 1, delayMs: 3_000 }),
];
