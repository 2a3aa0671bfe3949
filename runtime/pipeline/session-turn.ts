import type { SessionFailure } from "../core/config/sessions.ts";
import type { TurnView } from "../policy/session-turns.ts";
import type { HeldSession, SettleResult } from "../ports/transport.ts";

/**
 * Where a session that is held is at:
 *
 *   ready (waits for a place) → asking ⇄ working ⇄ resting (its message waits) → waking (waits for a place) → working
 *                                  any ──────────────────────────▶ gone
 *
 * It has a place while it is asking or working.
 */
export type TurnStage = "ready" | "asking" | "working" | "resting" | "waking" | "gone";

/** A session from when it is accepted until it is let go; it is worked by a message at a time. */
export class Turn<Message> {
  readonly session: HeldSession;
  readonly onFailure: SessionFailure;
  stage: TurnStage = "ready";
  /** The message at hand. */
  work: Message | undefined = undefined;
  /** Of its messages none has been claimed yet: the first may have been put off by whoever had it before. */
  isFresh = true;
  /** Its lock is gone. */
  isLost = false;
  /** The broker may still have what was to be settled: nothing else of the session may be begun. */
  isDoubtful = false;
  /** It was let go for others that wait, and none is to be asked for so long; 0 while it was not. */
  pauseMs = 0;
  /** When its turn began, and when it last asked for a message, monotonic. */
  startedMs = 0;
  askedMs = 0;
  /** When it was accepted, monotonic. */
  readonly acceptedMs: number;
  /** How long its first message took to come; undefined before that. */
  tripMs: number | undefined = undefined;
  /** The message that it asked for comes in parts, or waits at the broker for room for its bytes. */
  isHeldBack = false;
  /** When its lock surely ends, monotonic; of meaning while it has no message. */
  lockUntilMs = 0;
  isRenewing = false;
  /** Goes on with its message once there is a place. */
  goOn: () => void = () => {};

  /** Undefined before it was read. */
  #state: Uint8Array | null | undefined;

  constructor(session: HeldSession, onFailure: SessionFailure, acceptedMs: number) {
    this.session = session;
    this.onFailure = onFailure;
    this.acceptedMs = acceptedMs;
  }

  get hasPlace(): boolean {
    return this.stage === "asking" || this.stage === "working";
  }

  /** Null for none. Nobody else can change it while the session is held. */
  async readState(): Promise<Uint8Array | null> {
    if (this.#state === undefined) this.#state = (await this.session.getState()) ?? null;
    return this.#state;
  }

  /** Rejects with `TransportError` when the broker refuses it. */
  async writeState(state: Uint8Array | null): Promise<SettleResult> {
    this.#state = undefined;
    const result = await this.session.setState(state ?? undefined);
    if (result === "settled") this.#state = state;
    return result;
  }

  view(nowMs: number): TurnView {
    return { usedMs: nowMs - this.startedMs, idleMs: this.stage === "asking" ? nowMs - this.askedMs : 0, tripMs: this.tripMs };
  }
}
