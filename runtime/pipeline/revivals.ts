/**
 * Brings events back that were given up: by a replay that was ordered, or because a message was sent again after the event
 * had died. It is asked for once a message, after a claim has shown how the run stands; the run is then claimed again, whatever
 * the answer: who comes second finds the run of who came first.
 *
 * A message counts as sent again when it was enqueued, by the broker's clock, surely after the death, whose time is taken to be
 * rather later than it was. So two clocks that disagree make a duplicate of what was sent again too soon, never the reverse.
 */
import type { Clock } from "../core/clock.ts";
import { enqueuedFirstMs } from "../core/copy.ts";
import { knowsReplay, lastDeath } from "../core/history.ts";
import { verifiedReplay } from "../core/replay-order.ts";
import type { ClaimResult, Revival, ReviveResult, RunStore } from "../ports/run-store.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import { eachAlone } from "./each-alone.ts";
import { GroupCommit } from "./group-commit.ts";
import type { StoreGate } from "./store-gate.ts";
import type { Work } from "./work.ts";

/** `resume`: a message that is sent again brings its event back; `refuse`: only a replay does. */
export type Resends = "resume" | "refuse";

export interface RevivalsOptions {
  readonly store: RunStore;
  readonly clock: Clock;
  readonly gate: StoreGate;
  readonly telemetry: Telemetry;
  readonly resends: Resends;
  claim(work: Work): void;
  handBack(work: Work, why: "down" | "refused"): void;
  /** Handling it threw. */
  broken(work: Work, error: unknown): void;
}

interface Ask {
  readonly work: Work;
  readonly revival: Revival;
}

export class Revivals {
  readonly #options: RevivalsOptions;
  readonly #asks: GroupCommit<Ask, readonly ReviveResult[]>;
  #secret = "";

  constructor(options: RevivalsOptions) {
    const { store, clock, gate } = options;
    this.#options = options;
    this.#asks = new GroupCommit({
      clock,
      gate,
      write: (asks) => store.revive(asks.map(({ work: { eventId, epoch }, revival }) => ({ eventId, epoch, revival }))),
      written: (asks, results) =>
        eachAlone(
          asks,
          (ask, index) => this.#answered(ask, results[index] ?? "refused"),
          ({ work }, error) => options.broken(work, error),
        ),
      abandoned: (asks, why) => asks.forEach(({ work }) => options.handBack(work, why)),
    });
  }

  /** `secret` is what orders are made with. */
  start(secret: string): void {
    this.#secret = secret;
  }

  /** Whether this message may bring its run back; if so, that is asked for, and it is claimed again. */
  asksFor(work: Work, claim: ClaimResult): boolean {
    if (work.hasAskedToRevive) return false;
    const revival = this.#revivalOf(work, claim);
    if (revival === undefined) return false;
    work.hasAskedToRevive = true;
    work.stage = "claiming";
    this.#asks.add({ work, revival });
    return true;
  }

  #revivalOf(work: Work, claim: ClaimResult): Revival | undefined {
    switch (claim.kind) {
      case "acquired":
        // What is being compensated goes on with that: its end can be replayed.
        if (work.verdict !== undefined) return undefined;
        // What has neither failed nor begun has nothing to be made up for.
        return claim.failures + claim.losses + claim.steps.length === 0 ? undefined : this.#replayOf(work);
      case "reused": {
        const replay = this.#replayOf(work);
        return replay?.by === "replay" && replay.patched ? replay : undefined;
      }
      case "dead": {
        const { history } = claim;
        const replay = this.#replayOf(work);
        if (replay?.by === "replay" && !knowsReplay(history, replay.id)) return replay;
        const death = lastDeath(history);
        const enqueuedAtMs = enqueuedFirstMs(work.delivery);
        if (replay !== undefined || death === undefined || this.#options.resends === "refuse" || enqueuedAtMs <= death.atMs) return undefined;
        return { by: "resend", enqueuedAtMs };
      }
      case "done":
      case "held":
        return undefined;
    }
  }

  #replayOf(work: Work): Revival | undefined {
    const order = verifiedReplay(this.#secret, work.delivery, work.eventId, work.payloadHash);
    return order === undefined ? undefined : { by: "replay", payloadHash: work.payloadHash, ...order };
  }

  #answered({ work, revival }: Ask, result: ReviveResult): void {
    const { telemetry } = this.#options;
    if (result === "revived") {
      const from = revival.by === "replay" ? revival.from : "checkpoint";
      telemetry.emit({ type: "run.revived", eventId: work.eventId, skill: work.skillName, by: revival.by, from }, work);
    }
    this.#options.claim(work);
  }
}
