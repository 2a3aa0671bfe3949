// The two windows of a session and the ids that they are stated by (part 2, 2.5.6). Both count transfer frames, not messages.
//
//   incoming   what the peer may still send. Every flow of ours states it again; one is sent when half of it is used. How far it is
//              opened may change from one flow to the next, but what was granted is never taken back.
//   outgoing   what the peer still takes. Each flow of its tells up to which id, `next-incoming-id + incoming-window`; what
//              lies between our next id and that one is left, however many transfers the flow crossed on its way.
//
// Ids are serial numbers and wrap.
import { ProtocolError, conditions } from "../codec/errors.ts";
import type { Begin } from "../frame/performatives.ts";
import { serialAdd, serialDistance } from "../codec/serial.ts";
import type { Flow, SessionFlow } from "../frame/transfers.ts";

/** The window that we announce for what we send. It is not used to bound anything; a peer only hears that there is one. */
export const outgoingWindow = 0x7fff_ffff;

export class Windows {
  /** Transfer frames the peer takes before it says more. */
  framesLeft = 0;
  readonly #initialOutgoingId: number;
  readonly #incomingFrames: number;
  #nextOutgoingId: number;
  /** -1 before the peer's begin. */
  #nextIncomingId = -1;
  #incomingLeft: number;
  /** What the incoming window was when it was stated last. */
  #incomingTold: number;

  /** @param incomingFrames the incoming window at its widest  @param toldFrames what our begin states of it */
  constructor(initialOutgoingId: number, incomingFrames: number, toldFrames: number = incomingFrames) {
    this.#initialOutgoingId = initialOutgoingId;
    this.#nextOutgoingId = initialOutgoingId;
    this.#incomingFrames = incomingFrames;
    this.#incomingLeft = toldFrames;
    this.#incomingTold = toldFrames;
  }

  /** The peer's begin tells where its ids start, and its window. */
  onBegin(remote: Begin): void {
    this.#nextIncomingId = remote.nextOutgoingId;
    this.framesLeft = remote.incomingWindow;
  }

  onFlow(flow: Flow): void {
    const base = flow.nextIncomingId < 0 ? this.#initialOutgoingId : flow.nextIncomingId;
    this.framesLeft = Math.max(0, serialDistance(this.#nextOutgoingId, serialAdd(base, Math.min(flow.incomingWindow, outgoingWindow))));
  }

  /** Counts a transfer frame that goes out. */
  countOutgoing(): void {
    this.framesLeft--;
    this.#nextOutgoingId = serialAdd(this.#nextOutgoingId, 1);
  }

  /** Counts a transfer frame that came in. Returns whether the window has to be stated again. */
  countIncoming(): boolean {
    this.#nextIncomingId = serialAdd(this.#nextIncomingId, 1);
    if (--this.#incomingLeft < 0) throw new ProtocolError(conditions.windowViolation, "expected no transfer beyond the incoming window", "session");
    return this.isLow;
  }

  /** Half of the incoming window is used. */
  get isLow(): boolean {
    return this.#incomingLeft <= this.#incomingTold >>> 1;
  }

  /** Whether stating the incoming window would open it further, if it may be open for so many frames. */
  wouldOpen(framesMax: number): boolean {
    return Math.min(framesMax, this.#incomingFrames) > this.#incomingLeft;
  }

  /** The session's half of a flow. Stating the incoming window opens it again, for so many frames at the most. */
  tell(framesMax: number = this.#incomingFrames): SessionFlow {
    if (this.wouldOpen(framesMax)) this.#incomingLeft = Math.min(framesMax, this.#incomingFrames);
    this.#incomingTold = this.#incomingLeft;
    return { nextIncomingId: this.#nextIncomingId, incomingWindow: this.#incomingLeft, nextOutgoingId: this.#nextOutgoingId, outgoingWindow };
  }
}
