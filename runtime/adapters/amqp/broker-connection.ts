/**
 * One connection to the broker that is made again whenever it breaks, and shared by everything that needs one.
 *
 *   idle ──want()──▶ connecting ──open──▶ open ──lost──▶ pausing ──(pause over)──▶ connecting
 *                        └──────────────failed─────────────▲ │
 *   idle ◀──────────(pause over, and nobody wants it)────────┘
 *   any ──stop()──▶ stopped
 *
 * Each failure doubles the pause, until something came from an entity. Who uses the connection is notified when it is there
 * and when it is not.
 */
import type { Connection } from "../../amqp/connection/connection.ts";
import type { ConnectionEnd } from "../../amqp/connection/connection-options.ts";
import { callAll } from "../../amqp/codec/errors.ts";
import { dial } from "../../amqp/connection/sockets.ts";
import type { Clock, Timer } from "../../core/clock.ts";
import type { CredentialNews } from "../../core/credential-news.ts";
import type { TransportError } from "../../core/errors.ts";
import { Authorizer } from "./authorizer.ts";
import { connectionErrorOf } from "./errors.ts";
import { closeTimeoutMs, idleTimeOutMs, messageBytesMax, partialBytesMax, sessionsMax, spreadPauseMs, unsettledMax } from "./limits.ts";
import { audienceOf } from "./namespace.ts";
import type { Namespace } from "./namespace.ts";
import { RequestLink } from "./request-link.ts";

/** Whoever opens links on the connection. */
export interface ConnectionUser {
  /** Whether the connection is worth making again. */
  wantsConnection(): boolean;
  opened(connection: OpenConnection): void;
  /** The connection broke, or could not be made. Links have been told before. */
  closed(error: TransportError): void;
}

export interface OpenConnection {
  readonly engine: Connection;
  /** Gets the right to use an address; rejects with `TransportError`. */
  authorize(address: string): Promise<void>;
  /** The broker refused an address although the right to it was got: it is asked for again. */
  refused(address: string): void;
}

type State =
  | { readonly at: "idle" }
  | { readonly at: "connecting"; readonly engine: Connection }
  | { readonly at: "open"; readonly open: OpenConnection; readonly authorizer: Authorizer }
  | { readonly at: "pausing"; readonly timer: Timer }
  | { readonly at: "stopped" };

export interface BrokerConnectionOptions {
  readonly namespace: Namespace;
  readonly clock: Clock;
  readonly answerTimeoutMs: number;
  readonly heard?: ((news: CredentialNews) => void) | undefined;
}

export class BrokerConnection {
  readonly #options: BrokerConnectionOptions;
  readonly #users = new Set<ConnectionUser>();
  #state: State = { at: "idle" };
  #failures = 0;
  /** Why we ended the connection ourselves. */
  #fault: TransportError | undefined;
  /** The end of the connection, for who stops. */
  #closed: PromiseWithResolvers<void> | undefined;

  constructor(options: BrokerConnectionOptions) {
    this.#options = options;
  }

  /** Undefined as soon as either side has begun to end it: users hear of the end once it has, and of the next connection after that. */
  get open(): OpenConnection | undefined {
    const open = this.#state.at === "open" ? this.#state.open : undefined;
    return open?.engine.remote === undefined ? undefined : open;
  }

  /** `user.opened` is called, at once when the connection is there. */
  join(user: ConnectionUser): void {
    this.#users.add(user);
    const { open } = this;
    if (open !== undefined) user.opened(open);
  }

  leave(user: ConnectionUser): void {
    this.#users.delete(user);
  }

  /** Connects, unless that is under way or done. */
  want(): void {
    if (this.#state.at === "idle") this.#connect();
  }

  /** The broker has served an entity: the next failure is a new one. */
  proved(): void {
    this.#failures = 0;
  }

  /** Gives up a connection that has gone bad; it is made again. */
  abort(error: TransportError): void {
    const engine = this.#engine();
    if (engine === undefined) return;
    this.#fault = error;
    engine.abort();
  }

  /** Rejects with what a callback threw that was notified of the end. */
  async stop(): Promise<void> {
    const engine = this.#engine();
    if (this.#state.at === "pausing") this.#state.timer.cancel();
    if (this.#state.at === "open") this.#state.authorizer.close();
    this.#state = { at: "stopped" };
    if (engine === undefined) return;
    this.#closed = Promise.withResolvers();
    engine.close();
    await this.#closed.promise;
  }

  #engine(): Connection | undefined {
    const state = this.#state;
    return state.at === "connecting" ? state.engine : state.at === "open" ? state.open.engine : undefined;
  }

  #connect(): void {
    const { namespace, clock, answerTimeoutMs } = this.#options;
    this.#fault = undefined;
    const engine = dial(
      {
        host: namespace.host,
        port: namespace.port,
        tls: namespace.isPlain ? undefined : {},
        hostname: namespace.host,
        containerId: `holdfast-${process.pid}`,
        sasl: { mechanism: "ANONYMOUS" },
        idleTimeOutMs,
        openTimeOutMs: answerTimeoutMs,
        closeTimeOutMs: closeTimeoutMs,
        limits: { sessionsMax, unsettledMax, messageBytesMax, partialBytesMax },
        clock: {
          nowMs: () => clock.monotonicMs(),
          after: (delayMs, callback) => {
            const timer = clock.after(delayMs, callback);
            return () => timer.cancel();
          },
        },
      },
      { onOpen: (connection) => this.#onOpen(connection), onClosed: (connection, end) => this.#onClosed(connection, end) },
    );
    this.#state = { at: "connecting", engine };
  }

  #onOpen(engine: Connection): void {
    if (this.#state.at !== "connecting") return;
    const { namespace, clock, answerTimeoutMs } = this.#options;
    const authorizer = new Authorizer({
      tokens: namespace.tokens,
      clock,
      newLink: (lost) => new RequestLink({ connection: engine, address: "$cbs", clock, answerTimeoutMs, lost }),
      expired: (error) => this.abort(error),
      heard: this.#options.heard,
    });
    const open: OpenConnection = {
      engine,
      authorize: (address) => authorizer.authorize(audienceOf(namespace, address)),
      refused: (address) => authorizer.forget(audienceOf(namespace, address)),
    };
    this.#state = { at: "open", open, authorizer };
    for (const user of this.#users) user.opened(open);
  }

  #onClosed(engine: Connection, end: ConnectionEnd): void {
    // A fault is an error in a callback of ours or of a listener. When nobody waits for the end it must be seen, as any uncaught one.
    if (end.by === "fault" && this.#closed !== undefined) this.#closed.reject(end.cause);
    else if (end.by === "fault") {
      queueMicrotask(() => {
        throw end.cause;
      });
    }
    this.#closed?.resolve();
    if (this.#engine() !== engine) return;
    if (this.#state.at === "open") this.#state.authorizer.close();
    const error = this.#fault ?? connectionErrorOf(this.#options.namespace.host, end);
    const pauseMs = error.retryAfterMs ?? spreadPauseMs(this.#failures);
    this.#failures += 1;
    this.#state = { at: "pausing", timer: this.#options.clock.after(pauseMs, () => this.#resume()) };
    callAll([...this.#users].map((user) => () => user.closed(error)));
  }

  #resume(): void {
    this.#state = { at: "idle" };
    for (const user of this.#users) if (user.wantsConnection()) this.want();
  }
}
