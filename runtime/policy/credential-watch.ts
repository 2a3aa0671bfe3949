/**
 * Watches the tokens that logins last by. One that cannot be replaced is reported once, with the time that is left; shortly before it
 * ends nothing more is received, so that the connection that goes with it has nothing in hand. Once it has ended, whoever tries to
 * receive asks for another one, and tells what comes of that:
 *
 *   fresh ──(failed twice, or little time left)──▶ failing ──(about to end)──▶ ending: nothing is received
 *     ▲                                              │                           │
 *     └──────────────────────────(replaced)──────────┴───────────────────────────┘
 */
import type { CredentialEvent } from "../core/catalogue.ts";
import type { Clock } from "../core/clock.ts";
import type { CredentialNews } from "../core/credential-news.ts";

/** One failure may be chance. */
const failuresMax = 1;
/** Nothing is received for this long before a token ends, or for this part of its life where that is less. */
const endingMs = 30_000;
const endingOfLife = 0.1;

export interface CredentialWatchOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly tell: (event: CredentialEvent) => void;
}

export interface CredentialView {
  readonly login: string;
  readonly isEnding: boolean;
  readonly failures: number;
  /** 0 when it has ended. */
  readonly leftMs: number;
}

interface Login {
  /** Monotonic. */
  endsAtMs: number;
  /** Before its end from when on nothing is received. */
  endingMs: number;
  /** In a row. */
  failures: number;
  error: string;
  told: "nothing" | "begin" | "ending";
}

export class CredentialWatch {
  readonly #options: CredentialWatchOptions;
  readonly #logins = new Map<string, Login>();

  constructor(options: CredentialWatchOptions) {
    this.#options = options;
  }

  /** A login that never had a token is not one that lasts: what it may not do is reported by who tried. */
  heard({ login: name, error, leftMs, lifeMs }: CredentialNews): void {
    const endsAtMs = this.#options.clock.monotonicMs() + leftMs;
    const bound = Math.min(endingMs, lifeMs * endingOfLife);
    const known = this.#logins.get(name);
    if (error === undefined) {
      if (known !== undefined && known.told !== "nothing") this.#tell(name, known, "end", leftMs);
      this.#logins.set(name, { endsAtMs, endingMs: bound, failures: 0, error: "", told: "nothing" });
    } else if (known !== undefined && lifeMs > 0) {
      known.endsAtMs = endsAtMs;
      known.endingMs = bound;
      known.failures += 1;
      known.error = error;
      this.#look(name, known);
    }
  }

  /** Looks which tokens are about to end; called from time to time. */
  look(): void {
    for (const [name, login] of this.#logins) if (login.failures > 0) this.#look(name, login);
  }

  /** Whether a login is about to end. */
  get isEnding(): boolean {
    for (const login of this.#logins.values()) if (this.#isEnding(login)) return true;
    return false;
  }

  /** Those that could not be replaced when it was last tried. */
  view(): readonly CredentialView[] {
    return [...this.#logins]
      .filter(([, { failures }]) => failures > 0)
      .map(([login, known]) => ({ login, isEnding: this.#isEnding(known), failures: known.failures, leftMs: this.#leftMs(known) }));
  }

  #look(name: string, login: Login): void {
    const isEnding = this.#isEnding(login);
    if (login.told === "nothing" && (login.failures > failuresMax || isEnding)) this.#tell(name, login, "begin", this.#leftMs(login));
    if (login.told === "begin" && isEnding) this.#tell(name, login, "ending", this.#leftMs(login));
  }

  #tell(name: string, login: Login, state: CredentialEvent["state"], leftMs: number): void {
    if (state !== "end") login.told = state;
    this.#options.tell({ type: "credential.failing", state, login: name, leftMs: Math.round(leftMs), failures: login.failures, error: login.error });
  }

  #leftMs({ endsAtMs }: Login): number {
    return Math.max(0, endsAtMs - this.#options.clock.monotonicMs());
  }

  #isEnding(login: Login): boolean {
    const leftMs = this.#leftMs(login);
    return login.failures > 0 && leftMs > 0 && leftMs <= login.endingMs;
  }
}
