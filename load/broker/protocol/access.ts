// Who may do what: each connection's tokens, and what becomes of its links when they end.
//
// Without configured keys the broker is the emulator: what a client shows is checked, and a client that shows nothing is let
// in. With keys, a link needs a token for its entity, or a connection that logged in with a key.
import type { Clock } from "../entities/clock.ts";
import { pathOf } from "../entities/namespace.ts";
import type { TokenVerifier } from "../security/tokens.ts";
import type { OpenLinks } from "./open-links.ts";
import type { WireConnection, WireError } from "./wire.ts";

/** Tokens that one connection keeps at most: one for each entity that it uses. */
const tokensMax = 10_000;
const expired: WireError = { condition: "amqp:unauthorized-access", description: "ExpiredToken: The token of the link is expired, and no other came in time." };

interface Granted {
  /** It logged in with a key, which is good for everything. */
  hasKey: boolean;
  /** When the token for a path ends. */
  readonly untilMs: Map<string, number>;
}

export interface TokenAnswer {
  readonly code: number;
  readonly description: string;
}

export class Access {
  readonly #verifier: TokenVerifier;
  readonly #links: OpenLinks;
  readonly #clock: Clock;
  readonly #granted = new WeakMap<WireConnection, Granted>();
  readonly #timers = new Set<() => void>();

  /** @param clock the one that clients go by when they make tokens */
  constructor(verifier: TokenVerifier, links: OpenLinks, clock: Clock) {
    this.#verifier = verifier;
    this.#links = links;
    this.#clock = clock;
  }

  /** SASL: a name and a key that are shown must be right. */
  login(connection: WireConnection, mechanism: string, response: Buffer | undefined): boolean {
    if (mechanism !== "PLAIN") return true;
    const [, name = "", key = ""] = (response ?? Buffer.alloc(0)).toString("utf8").split("\0");
    if (this.#verifier.knows(name, key)) {
      this.#of(connection).hasKey = true;
      return true;
    }
    return !this.#verifier.isRequired;
  }

  putToken(connection: WireConnection, token: unknown, type: unknown, audience: string): TokenAnswer {
    if (typeof token !== "string") return { code: 400, description: "The token must be text." };
    if (type !== "servicebus.windows.net:sastoken") {
      // Nobody here can check what a directory signed.
      return this.#verifier.isRequired ? { code: 401, description: `InvalidToken: Tokens of the type '${String(type)}' are not taken; use a shared access signature.` } : accepted;
    }
    const verdict = this.#verifier.verify(token, audience);
    if (!verdict.ok) return { code: 401, description: verdict.reason };
    const { untilMs } = this.#of(connection);
    if (untilMs.size >= tokensMax) return { code: 403, description: `A connection keeps at most ${tokensMax} tokens.` };
    untilMs.set(pathOf(`${audience}/`).toLowerCase(), verdict.expiresAtMs);
    if (this.#verifier.isRequired) this.#watch(connection, verdict.expiresAtMs);
    return accepted;
  }

  /** Whether a connection may use what lies at a path. */
  allows(connection: WireConnection, path: string): boolean {
    if (!this.#verifier.isRequired) return true;
    const granted = this.#of(connection);
    if (granted.hasKey) return true;
    const nowMs = this.#clock.now();
    const wanted = path.toLowerCase();
    return [...granted.untilMs].some(([place, untilMs]) => untilMs > nowMs && (place === "" || wanted === place || wanted.startsWith(`${place}/`)));
  }

  stop(): void {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  #of(connection: WireConnection): Granted {
    let granted = this.#granted.get(connection);
    if (granted === undefined) {
      granted = { hasKey: false, untilMs: new Map() };
      this.#granted.set(connection, granted);
    }
    return granted;
  }

  /** Once a token has ended, the links that no other one covers end, too. */
  #watch(connection: WireConnection, atMs: number): void {
    const cancel = this.#clock.after(Math.min(2 ** 31 - 1, Math.max(1, atMs - this.#clock.now())), () => {
      this.#timers.delete(cancel);
      this.#links.close((link) => link.connection === connection && !this.allows(connection, link.path), expired);
    });
    this.#timers.add(cancel);
  }
}

const accepted: TokenAnswer = { code: 202, description: "Accepted" };
