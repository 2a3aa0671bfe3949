// The sessions of a connection: begins and ends, and the way of each frame to its session (part 2, 2.5.1 to 2.5.5). A begin
// without a remote-channel asks for a session; one with it answers a begin of ours, and ties the two channels together.
import { readErrorField } from "../message/condition.ts";
import type { ErrorCondition } from "../message/condition.ts";
import { Channels } from "./channels.ts";
import { descriptor } from "../codec/descriptors.ts";
import { ProtocolError, callAll, conditions } from "../codec/errors.ts";
import type { FieldReader } from "../codec/fields.ts";
import { readBegin } from "../frame/performatives.ts";
import type { Begin } from "../frame/performatives.ts";
import { Session } from "../session/session.ts";
import type { SessionEvents, SessionHost, SessionOptions } from "../session/session.ts";
import { SessionFrames } from "../session/session-frames.ts";

/** What the sessions need of their connection. */
export interface SessionsHost extends SessionHost {
  /** The highest channel that the peer lets us use. */
  readonly channelMax: number;
  /** Tells the owner of a session of the peer's making; undefined: it takes none. */
  onSession(session: Session): SessionEvents | undefined;
}

const noSessions: ErrorCondition = { condition: conditions.notAllowed, description: "no sessions are accepted on this connection" };

export class Sessions {
  readonly #host: SessionsHost;
  readonly #channels: Channels<Session> = new Channels();
  readonly #frames = new SessionFrames();

  constructor(host: SessionsHost) {
    this.#host = host;
  }

  /** Begins one of ours. */
  begin(events: SessionEvents, options: SessionOptions): Session {
    const channel = this.#channels.free;
    const { channelMax } = this.#host;
    if (channel > channelMax) throw new Error(`connection: expected at most ${channelMax + 1} sessions, as the peer allows`);
    const session = new Session(this.#host, channel, options, events);
    this.#channels.add(session);
    session.begin(undefined);
    return session;
  }

  /** A frame of an open connection that is not the connection's own; it ends at `end`. */
  onFrame(code: number, channel: number, bytes: Buffer, fields: FieldReader, end: number): void {
    if (SessionFrames.includes(code)) {
      const session = this.#session(channel);
      if (session.isOpen) this.#frames.handle(session, code, bytes, fields, end);
    } else if (code === descriptor.begin) this.#onBegin(channel, readBegin(fields.copied()));
    else if (code === descriptor.end) this.#session(channel).onEnd(readErrorField(fields.copied()));
    else throw new ProtocolError(conditions.notImplemented, `expected a performative, found descriptor ${code}`);
  }

  #session(channel: number): Session {
    const session = this.#channels.remote(channel);
    if (session === undefined) throw new ProtocolError(conditions.notAllowed, `expected the channel of a session, found ${channel}`);
    return session;
  }

  #onBegin(remoteChannel: number, remote: Begin): void {
    const { sessionsMax } = this.#host.limits;
    if (remoteChannel >= sessionsMax) throw new ProtocolError(conditions.framingError, `expected a channel up to ${sessionsMax - 1}, found ${remoteChannel}`);
    if (this.#channels.remote(remoteChannel) !== undefined)
      throw new ProtocolError(conditions.notAllowed, `expected a channel without a session, found ${remoteChannel}`);
    if (remote.remoteChannel === undefined) {
      this.#accept(remoteChannel, remote);
      return;
    }
    const own = this.#channels.own(remote.remoteChannel);
    if (own === undefined || own.remoteChannel >= 0)
      throw new ProtocolError(conditions.notAllowed, `expected an answer to a begin, found channel ${remote.remoteChannel}`);
    this.#channels.tie(remoteChannel, own);
    own.onBegin(remoteChannel, remote);
  }

  #accept(remoteChannel: number, remote: Begin): void {
    const channel = this.#channels.free;
    const { channelMax } = this.#host;
    if (channel > channelMax)
      throw new ProtocolError(conditions.notAllowed, `expected no more sessions than the peer's own channel-max of ${channelMax} lets us answer`);
    const session = new Session(this.#host, channel, {}, {});
    this.#channels.add(session);
    this.#channels.tie(remoteChannel, session);
    session.begin(remoteChannel);
    session.onBegin(remoteChannel, remote);
    const events = this.#host.onSession(session);
    if (events === undefined) session.end(noSessions);
    else session.events = events;
  }

  /** A session whose both ends are over. */
  release(session: Session): void {
    this.#channels.delete(session);
  }

  /** The connection is over. Every session's owner is notified, even when the callback of another throws. */
  drop(error: ErrorCondition | undefined): void {
    callAll(this.#channels.all().map((session) => () => session.drop(error)));
  }
}
