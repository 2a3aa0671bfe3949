// Who may do what: each connection's tokens, and what becomes of its links when they end.
//
// Without configured keys the broker is the emulator: what a client shows is checked, and a client that shows nothing is let
// in. With keys, a link needs a token for its entity, or a connection that logged in with a key.
import type { Clock } from "../entities/clock.ts";
import { type Grant, isGranted, type Right } from "../security/keys.ts";
import type { TokenVerifier } from "../security/tokens.ts";
import type { OpenLink, OpenLinks } from "./open-links.ts";
import { tokenExpired, unauthorized } from "./refusals.ts";
import type { WireConnection, WireError } from "./wire.ts";

/** The longest that a timer waits; links with longer tokens are not cut. */
const delayMaxMs = 2 ** 31 - 1;
/** Tokens that one connection keeps at most: one for each entity that it uses. */
const tokensMax = 10_000;

type LinkRole = OpenLink["role"];

interface Granted extends Grant {
  readonly untilMs: number;
}

export interface TokenAnswer {
  readonly code: number;
  readonly description: string;
}

interface Watch {
  readonly atMs: number;
  readonly cancel: () => void;
}

/** What a link needs. */
const neededBy: Readonly<Record<LinkRole, readonly Right[]>> = { sender: ["Send"], receiver: ["Listen"] };

export class Access {
  readonly #verifier: TokenVerifier;
  readonly #links: OpenLinks;
  readonly #clock: Clock;
  /** By place, the last token for each. */
  readonly #granted = new WeakMap<WireConnection, Map<string, Granted>>();
  /** What rings next for each connection whose tokens end. */
  readonly #watched = new Map<WireConnection, Watch>();

  /** @param clock the one that clients go by when they make tokens */
  constructor(verifier: TokenVerifier, links: OpenLinks, clock: Clock) {
    this.#verifier = verifier;
    this.#links = links;
    this.#clock = clock;
  }

  /** SASL: a name and a key that are shown must be right. Whoever shows none needs tokens, where keys are configured. */
  login(connection: WireConnection, mechanism: string, response: Buffer | undefined): boolean {
    if (mechanism !== "PLAIN") return true;
    const [, name = "", key = ""] = (response ?? Buffer.alloc(0)).toString("utf8").split("\0");
    const grant = this.#verifier.login(name, key);
    if (grant === undefined) return false;
    this.#of(connection).set(grant.place, { ...grant, untilMs: Infinity });
    return true;
  }

  putToken(connection: WireConnection, token: unknown, type: unknown, audience: string): TokenAnswer {
    if (typeof token !== "string") return { code: 400, description: "The token must be text." };
    if (type !== "servicebus.windows.net:sastoken") {
      // Nobody here can check what a directory signed.
      return this.#verifier.isRequired
        ? { code: 401, description: `InvalidToken: Tokens of the type '${String(type)}' are not taken; use a shared access signature.` }
        : accepted;
    }
    const verdict = this.#verifier.verify(token, audience);
    if (!verdict.ok) return { code: 401, description: verdict.reason };
    const granted = this.#of(connection);
    const { grant, expiresAtMs } = verdict;
    if (granted.size >= tokensMax && !granted.has(grant.place)) return { code: 403, description: `A connection keeps at most ${tokensMax} tokens.` };
    granted.set(grant.place, { ...grant, untilMs: expiresAtMs });
    if (this.#verifier.isRequired) this.#watch(connection, expiresAtMs);
    return accepted;
  }

  /** Why a connection may not send to an entity or receive from it; undefined when it may. */
  refuseLink(connection: WireConnection, path: string, role: LinkRole): WireError | undefined {
    return this.#allows(connection, path, neededBy[role], this.#clock.now()) ? undefined : unauthorized(neededBy[role], path);
  }

  /** The same for what needs one of these rights at an entity's own node; some clients get a token for the node alone. */
  refuseManaging(connection: WireConnection, path: string, needed: readonly Right[]): WireError | undefined {
    return this.#allows(connection, `${path}/$management`, needed, this.#clock.now()) ? undefined : unauthorized(needed, path);
  }

  stop(): void {
    for (const { cancel } of this.#watched.values()) cancel();
    this.#watched.clear();
  }

  /** The connection is over, whatever its tokens were still good for. */
  closed(connection: WireConnection): void {
    this.#watched.get(connection)?.cancel();
    this.#watched.delete(connection);
  }

  #allows(connection: WireConnection, path: string, needed: readonly Right[], nowMs: number): boolean {
    if (!this.#verifier.isRequired) return true;
    const wanted = path.toLowerCase();
    for (const grant of this.#of(connection).values()) {
      if (grant.untilMs > nowMs && isGranted(wanted, grant) && needed.some((right) => grant.rights.has(right))) return true;
    }
    return false;
  }

  #of(connection: WireConnection): Map<string, Granted> {
    let granted = this.#granted.get(connection);
    if (granted === undefined) {
      granted = new Map();
      this.#granted.set(connection, granted);
    }
    return granted;
  }

  /** Once a token has ended, the links that no other one covers end, too. */
  #watch(connection: WireConnection, atMs: number): void {
    const before = this.#watched.get(connection);
    if (before !== undefined && before.atMs <= atMs) return;
    before?.cancel();
    const delayMs = Math.min(delayMaxMs, Math.max(1, atMs - this.#clock.now()));
    const ringMs = this.#clock.now() + delayMs;
    const cancel = this.#clock.after(delayMs, () => {
      this.#watched.delete(connection);
      // A timer may ring a moment early.
      this.#ring(connection, Math.max(ringMs, this.#clock.now()));
    });
    this.#watched.set(connection, { atMs: ringMs, cancel });
  }

  #ring(connection: WireConnection, nowMs: number): void {
    const granted = this.#of(connection);
    let nextMs = Infinity;
    for (const { place, untilMs } of granted.values()) {
      if (untilMs <= nowMs) granted.delete(place);
      else nextMs = Math.min(nextMs, untilMs);
    }
    this.#links.close(
      (link) => link.connection === connection && !this.#allows(connection, link.path, neededBy[link.role], nowMs),
      () => tokenExpired,
    );
    if (nextMs !== Infinity) this.#watch(connection, nextMs);
  }
}

const accepted: TokenAnswer = { code: 202, description: "Accepted" };
