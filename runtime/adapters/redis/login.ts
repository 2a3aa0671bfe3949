// Logs in with tokens that an identity is issued, in place of a password that lasts. The server ends a connection whose token has
// run out: a new one is asked for in time, and every connection says AUTH again with it; what connects later begins with it.
import type { Cluster, Redis } from "ioredis";
import { isCluster } from "./is-cluster.ts";
import { type CredentialNews, renewalPauseMs } from "../../core/credential-news.ts";
import { ConfigurationError, messageOf } from "../../core/errors.ts";

/** What the identity libraries' credentials look like. */
export interface RedisCredential {
  getToken(scopes: string | string[]): Promise<{ readonly token: string; readonly expiresOnTimestamp: number } | null>;
}

/** Who hears of a login. */
export interface LoginNews {
  /** Hears what becomes of its tokens. */
  readonly heard?: ((news: CredentialNews) => void) | undefined;
  /** What the connection is for, where there are others to the same Redis; for people to read. */
  readonly purpose?: string;
}

const scope = "https://redis.azure.com/.default";
/** A token is renewed when this much of its time is left, or a fifth of it where that is less. */
const renewBeforeMs = 300_000;
const pauseMinMs = 100;
/** An identity that gives the same token again has failed when no more than this is left of it, or a tenth of its life. */
const noNewerMs = 120_000;
/** The identity's object id: Redis knows it as the user's name. */
function userOf(token: string): string | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    return typeof claims === "object" && claims !== null && "oid" in claims && typeof claims.oid === "string" ? claims.oid : undefined;
  } catch {
    return undefined;
  }
}

/** What Redis answers to a user, or a token, that it does not take. */
function isRefusal(error: unknown): boolean {
  return /^(WRONGPASS|NOAUTH|NOPERM|ERR (invalid password|AUTH))/.test(messageOf(error));
}

export class Login {
  readonly #redis: Redis | Cluster;
  readonly #credential: RedisCredential;
  #user: string | undefined;
  #token = "";
  readonly #heard: LoginNews["heard"];
  /** For people to read. */
  readonly #name: string;
  /** Of the newest token. */
  #expiresAtMs = 0;
  /** Of the last token that Redis has taken: what its connections last by. */
  #takenUntilMs = 0;
  #takenLifeMs = 0;
  #lifeMs = 0;
  /** Why Redis did not take a token, when it was last asked; undefined when it took one. */
  #refusal: string | undefined;
  /** To replace the token, in a row. */
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** `purpose`: tells this login from others to the same Redis. */
  constructor(redis: Redis | Cluster, credential: RedisCredential, { heard, purpose }: LoginNews) {
    this.#redis = redis;
    this.#credential = credential;
    this.#heard = heard;
    this.#name = purpose === undefined ? "Redis" : `Redis, for ${purpose}`;
    this.#user = isCluster(redis) ? redis.options.redisOptions?.username : redis.options.username;
    if (isCluster(redis)) redis.on("+node", (node: Redis) => this.#equip(node));
    redis.on(isCluster(redis) ? "node error" : "error", (error: unknown) => this.#refused(error));
  }

  /** Before the first connection. Rejects with `ConfigurationError` when no token is issued. */
  async start(): Promise<void> {
    this.#isStopped = false;
    try {
      await this.#renew();
    } catch (error) {
      throw new ConfigurationError(
        `expected a token for Redis from the workload's identity, found ${messageOf(error)}; give it an identity that the cache knows`,
        {
          cause: error,
        },
      );
    }
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #renew(): Promise<void> {
    const token = await this.#credential.getToken(scope);
    if (token === null) throw new Error("none");
    this.#user ??= userOf(token.token);
    if (this.#user === undefined) throw new Error("a token without an object id (put the user's name into the URL)");
    this.#token = token.token;
    const leftMs = token.expiresOnTimestamp - Date.now();
    if (token.expiresOnTimestamp > this.#expiresAtMs) {
      this.#expiresAtMs = token.expiresOnTimestamp;
      this.#lifeMs = leftMs;
    } else if (leftMs <= Math.min(noNewerMs, this.#lifeMs / 10)) throw new Error("no newer token");
    await this.#sayAgain();
    this.#failures = 0;
    this.#takenUntilMs = this.#expiresAtMs;
    this.#takenLifeMs = this.#lifeMs;
    this.#heard?.({ login: this.#name, error: undefined, leftMs, lifeMs: this.#lifeMs });
    this.#again(leftMs - Math.min(renewBeforeMs, leftMs / 5));
  }

  #failed(error: unknown): void {
    if (this.#isStopped) return;
    const leftMs = this.#takenUntilMs - Date.now();
    this.#failures += 1;
    this.#heard?.({ login: this.#name, error: messageOf(error), leftMs, lifeMs: this.#takenLifeMs });
    this.#again(renewalPauseMs(this.#failures, leftMs));
  }

  #connections(): readonly Redis[] {
    return isCluster(this.#redis) ? this.#redis.nodes("all") : [this.#redis];
  }

  #equip(connection: Redis): void {
    if (this.#user !== undefined) connection.options.username = this.#user;
    connection.options.password = this.#token;
  }

  /**
   * Rejects when Redis refuses the token: a new one alone, or another user, helps. A connection that is lost says nothing of it, and
   * connects with the new one; where none is there after a refusal, nobody has taken it yet.
   */
  async #sayAgain(): Promise<void> {
    const answers = await Promise.all(this.#connections().map((connection) => this.#say(connection)));
    this.#refusal = answers.find((answer) => answer !== "taken" && answer !== "away") ?? (answers.includes("taken") ? undefined : this.#refusal);
    if (this.#refusal !== undefined) throw new Error(`expected Redis to take a renewed token, found: ${this.#refusal}; look whether its user still has access`);
  }

  async #say(connection: Redis): Promise<string> {
    this.#equip(connection);
    if (connection.status !== "ready" || this.#user === undefined) return "away";
    return connection.auth(this.#user, this.#token).then(
      () => "taken",
      (error: unknown) => (isRefusal(error) ? messageOf(error, 200) : "away"),
    );
  }

  /** A connection that is made again, and is refused: a token is asked for at once, where that has not failed already. */
  #refused(error: unknown): void {
    if (!isRefusal(error)) return;
    this.#refusal = messageOf(error, 200);
    if (this.#failures === 0 && this.#takenLifeMs > 0) this.#failed(error);
  }

  #again(delayMs: number): void {
    if (this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#renew().catch((error: unknown) => this.#failed(error)), Math.max(pauseMinMs, delayMs));
  }
}
