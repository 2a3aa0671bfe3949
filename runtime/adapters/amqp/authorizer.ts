/**
 * Keeps one connection's right to use entities: a token for each audience is put on the `$cbs` node, and replaced ahead of
 * its end. A replacement that fails is tried again until the old token has ended; then the connection is of no more use.
 */
import type { Clock, Timer } from "../../core/clock.ts";
import { TransportError } from "../../core/errors.ts";
import { errorOf } from "./errors.ts";
import { tokenRefreshAt, tokenRefreshMinMs, tokenRetryPauseMs, tokenTimeoutMs } from "./limits.ts";
import type { RequestLink } from "./request-link.ts";
import type { Token, TokenSource } from "./tokens.ts";
import { answeredWithin } from "../support/waiting.ts";

/** What carries tokens to the broker. */
export type TokenLink = Pick<RequestLink, "request" | "close">;

export interface AuthorizerOptions {
  readonly tokens: TokenSource;
  readonly clock: Clock;
  /** Opens the links to `$cbs`; the broker may close them when they have been idle. */
  newLink(lost: () => void): TokenLink;
  /** A token has ended and could not be replaced. */
  expired(error: TransportError): void;
}

interface Right {
  granted: Promise<void>;
  expiresAtMs: number;
  timer: Timer | undefined;
}

export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #rights = new Map<string, Right>();
  #link: TokenLink | undefined;
  #isClosed = false;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** Resolves once the audience may be used on this connection; rejects with `TransportError` when it may not. */
  authorize(audience: string): Promise<void> {
    const known = this.#rights.get(audience);
    if (known !== undefined) return known.granted;
    const right: Right = { granted: Promise.resolve(), expiresAtMs: 0, timer: undefined };
    right.granted = this.#put(audience, right).catch((error: unknown) => {
      this.#rights.delete(audience);
      throw error;
    });
    this.#rights.set(audience, right);
    return right.granted;
  }

  /** The broker did not honour the token, whatever it says of its own end: the next to ask gets another one. */
  forget(audience: string): void {
    this.#rights.get(audience)?.timer?.cancel();
    this.#rights.delete(audience);
  }

  close(): void {
    this.#isClosed = true;
    for (const { timer } of this.#rights.values()) timer?.cancel();
    this.#link?.close();
  }

  async #put(audience: string, right: Right): Promise<void> {
    const { clock } = this.#options;
    const token = await this.#newToken(audience);
    if (this.#isClosed) throw new TransportError(`expected a connection that can get access to ${audience}, found that it has closed; a new one is made`);
    this.#link ??= this.#options.newLink(() => {
      this.#link = undefined;
    });
    const reply = await this.#link.request({ operation: "put-token", type: token.type, name: audience }, token.value);
    if (reply.code < 200 || reply.code > 299) {
      const condition = reply.condition ?? (reply.code === 401 || reply.code === 403 ? "amqp:unauthorized-access" : `status ${reply.code}`);
      throw errorOf(`access to ${audience}`, { condition, description: reply.description }, "a refusal");
    }
    right.expiresAtMs = token.expiresAtMs;
    const leftMs = token.expiresAtMs - clock.wallMs();
    this.#replaceAfter(Math.max(tokenRefreshMinMs, leftMs * tokenRefreshAt), audience, right);
  }

  /** A credential that hangs must not keep the connection without a token, unseen. */
  #newToken(audience: string): Promise<Token> {
    const { tokens, clock } = this.#options;
    const late = (): TransportError =>
      new TransportError(`expected a token for ${audience} within ${tokenTimeoutMs} ms, found none; check the credential and what it asks`);
    return answeredWithin(clock, tokenTimeoutMs, tokens(audience, clock.wallMs()), late);
  }

  #replaceAfter(delayMs: number, audience: string, right: Right): void {
    if (this.#isClosed || this.#rights.get(audience) !== right) return;
    right.timer = this.#options.clock.after(delayMs, () => void this.#replace(audience, right));
  }

  async #replace(audience: string, right: Right): Promise<void> {
    try {
      await this.#put(audience, right);
    } catch (thrown) {
      const error =
        thrown instanceof TransportError
          ? thrown
          : new TransportError(`expected a new token for ${audience}, found none; check the credential`, { cause: thrown });
      const leftMs = right.expiresAtMs - this.#options.clock.wallMs();
      if (this.#isClosed || this.#rights.get(audience) !== right) return;
      if (leftMs <= 0) this.#options.expired(error);
      else this.#replaceAfter(Math.min(tokenRetryPauseMs, leftMs), audience, right);
    }
  }
}
