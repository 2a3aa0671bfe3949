// What goes out of a connection, tick by tick.
//
// One tick is one pass of Node's event loop. Frames that must keep their place are written to the output as they arise;
// when the pass ends (setImmediate) each session adds what it settled and granted, and everything is one write to the
// socket. So a thousand messages that arrive and are settled in one pass are answered by one frame in one packet.
//
// A peer that does not read makes the socket's queue grow. From `outputBytesHigh` on senders are informed that there is no
// room, until the socket has drained; what is written all the same, answers to the peer's own frames, may grow it to
// `outputBytesMax`, where the connection is given up.
import type { Duplex } from "node:stream";
import type { Limits } from "../codec/limits.ts";
import { Output } from "../frame/output.ts";

/** A session, as the end of a tick sees it. */
export interface TickEnd {
  /** Whether `flush` will be called. */
  flushDue: boolean;
  /** Writes what was put off to the end of the tick. */
  flush(): void;
  /** Lets senders go on that found no room. */
  resumeSenders(): void;
}

/** What the egress needs of its connection. */
export interface EgressHost {
  /** Runs what may throw. */
  guard(run: () => void): void;
  /** What there is goes to the socket now. */
  onWriting(): void;
  onWritten(): void;
  /** `unsentBytes` wait for a peer that does not read. */
  onOverflow(unsentBytes: number): void;
}

export class Egress {
  readonly output: Output = new Output();
  readonly #socket: Duplex;
  readonly #limits: Limits;
  readonly #host: EgressHost;
  #isDue = false;
  #isClosed = false;
  #sessions: TickEnd[] = [];
  #tasks: (() => void)[] = [];
  #socketIsFull = false;
  readonly #waiting = new Set<TickEnd>();

  constructor(socket: Duplex, limits: Limits, host: EgressHost) {
    this.#socket = socket;
    this.#limits = limits;
    this.#host = host;
    socket.on("drain", () => {
      this.#socketIsFull = false;
      host.guard(() => this.#resumeSenders());
    });
  }

  /** Whether the peer does not take what was written. */
  get isBlocked(): boolean {
    return this.#socketIsFull || this.output.pendingBytes > this.#limits.outputBytesHigh;
  }

  /** Has everything written at the end of this tick, after `session.flush()` when there is one. */
  request(session?: TickEnd): void {
    if (session !== undefined && !session.flushDue) {
      session.flushDue = true;
      this.#sessions.push(session);
    }
    if (this.#isDue || this.#isClosed) return;
    this.#isDue = true;
    setImmediate(() => this.#host.guard(() => this.#endTick()));
  }

  /** Runs `task` at the end of this tick. */
  later(task: () => void): void {
    this.#tasks.push(task);
    this.request();
  }

  /** Has `session.resumeSenders` called when there may be room again. */
  noteWaiting(session: TickEnd): void {
    this.#waiting.add(session);
  }

  forget(session: TickEnd): void {
    this.#waiting.delete(session);
  }

  /** Has every session add what it put off, without writing yet. */
  flushSessions(): void {
    const sessions = this.#sessions;
    this.#sessions = [];
    for (const session of sessions) {
      session.flushDue = false;
      session.flush();
    }
  }

  /** Writes now. */
  write(): void {
    if (this.output.isEmpty || this.#isClosed) return;
    this.#host.onWriting();
    this.output.flush(this.#socket);
    this.#host.onWritten();
    const unsentBytes = this.#socket.writableLength;
    // Below the socket's own mark it would not tell when it has drained.
    this.#socketIsFull = unsentBytes > this.#limits.outputBytesHigh && this.#socket.writableNeedDrain;
    if (unsentBytes > this.#limits.outputBytesMax) this.#host.onOverflow(unsentBytes);
  }

  /** Writes what there is for the last time. */
  close(): void {
    if (!this.#socket.destroyed && !this.output.isEmpty) {
      this.#host.onWriting();
      this.output.flush(this.#socket);
    }
    this.#isClosed = true;
    this.#sessions = [];
    this.#tasks = [];
    this.#waiting.clear();
  }

  #endTick(): void {
    this.#isDue = false;
    if (this.#isClosed) return;
    const tasks = this.#tasks;
    this.#tasks = [];
    for (const task of tasks) task();
    this.flushSessions();
    this.write();
    if (!this.#socketIsFull) this.#resumeSenders();
  }

  #resumeSenders(): void {
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const session of waiting) session.resumeSenders();
  }
}
