/**
 * Keeps one connection's right to use entities: a token for each audience is put on the `$cbs` node, and replaced ahead of
 * its end. A replacement that fails is tried again after growing pauses, until shortly before the old token ends: then the
 * connection is given up, before the broker closes it.
 */
import type { Clock, Timer } from "../../core/clock.ts";
import { type CredentialNews, renewalPauseMs, reopenBeforeMs } from "../../core/credential-news.ts";
import { TransportError } from "../../core/errors.ts";
import { errorOf } from "./errors.ts";
import { noNewerMs, noNewerOfLife, tokenRefreshAt, tokenRefreshMaxMs, tokenRefreshMinMs, tokenTimeoutMs } from "./limits.ts";
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
  /** A token is about to end and could not be replaced. */
  expired(error: TransportError): void;
  /** Hears of each replacement, and of those that failed. */
  heard?: ((news: CredentialNews) => void) | undefined;
}

interface Right {
  granted: Promise<void>;
  expiresAtMs: number;
  /** From when it was put to its end. */
  lifeMs: number;
  /** To replace it, in a row. */
  failures: number;
  error: TransportError | undefined;
  timer: Timer | undefined;
  /** When the connection is given up. */
  end: Timer | undefined;
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
    const right: Right = { granted: Promise.resolve(), expiresAtMs: 0, lifeMs: 0, failures: 0, error: undefined, timer: undefined, end: undefined };
    right.granted = this.#put(audience, right).catch((error: unknown) => {
      this.#rights.delete(audience);
      throw error;
    });
    this.#rights.set(audience, right);
    return right.granted;
  }

  /** The broker did not honour the token, whatever it says of its own end: the next to ask gets another one. */
  forget(audience: string): void {
    const right = this.#rights.get(audience);
    right?.timer?.cancel();
    right?.end?.cancel();
    this.#rights.delete(audience);
  }

  close(): void {
    this.#isClosed = true;
    for (const { timer, end } of this.#rights.values()) {
      timer?.cancel();
      end?.cancel();
    }
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
    const leftMs = token.expiresAtMs - clock.wallMs();
    if (token.expiresAtMs > right.expiresAtMs) this.#renewed(audience, right, token.expiresAtMs, leftMs);
    // An identity's library may keep a token until shortly before its end.
    else if (leftMs <= Math.min(noNewerMs, right.lifeMs * noNewerOfLife)) {
      throw new TransportError(`expected a newer token for ${audience}, found the one that ends in ${Math.round(leftMs / 1_000)} s; check the credential`);
    }
    this.#replaceAfter(Math.min(tokenRefreshMaxMs, Math.max(tokenRefreshMinMs, leftMs * tokenRefreshAt)), audience, right);
  }

  #renewed(audience: string, right: Right, expiresAtMs: number, leftMs: number): void {
    right.expiresAtMs = expiresAtMs;
    right.lifeMs = leftMs;
    right.failures = 0;
    right.error = undefined;
    right.end?.cancel();
    if (this.#isClosed || this.#rights.get(audience) !== right) return;
    this.#giveUpLater(audience, right);
    this.#options.heard?.({ login: audience, error: undefined, leftMs, lifeMs: leftMs });
  }

  #giveUpLater(audience: string, right: Right): void {
    const { clock } = this.#options;
    const waitMs = right.expiresAtMs - reopenBeforeMs(right.lifeMs) - clock.wallMs();
    right.end = clock.after(Math.min(tokenRefreshMaxMs, Math.max(0, waitMs)), () => {
      if (this.#rights.get(audience) !== right) return;
      const late = `expected a newer token for ${audience} by now, found none; check the credential`;
      if (waitMs > tokenRefreshMaxMs) this.#giveUpLater(audience, right);
      else this.#options.expired(right.error ?? new TransportError(late));
    });
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
      if (this.#isClosed || this.#rights.get(audience) !== right) return;
      const { clock, heard } = this.#options;
      const leftMs = right.expiresAtMs - clock.wallMs();
      right.failures += 1;
      right.error = error;
      heard?.({ login: audience, error: error.message, leftMs, lifeMs: right.lifeMs });
      this.#replaceAfter(renewalPauseMs(right.failures, leftMs), audience, right);
    }
  }
}
