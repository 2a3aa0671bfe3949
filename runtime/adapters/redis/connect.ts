// How a Redis is reached: one server, the master that sentinels name, or a cluster; over TLS with an authority of one's own.
import { checkServerIdentity, type ConnectionOptions } from "node:tls";
import { createRequire } from "node:module";
import type * as Library from "ioredis";
import type { Cluster, Redis, RedisOptions } from "ioredis";
import { reveal, type SecretText } from "../../core/secret.ts";
import { countAnswerTime } from "./answer-time.ts";
import type { LoginNews, RedisCredential } from "./login.ts";

export interface RedisPlace extends LoginNews {
  /** `redis://` or `rediss://`, with credentials and database where needed; of one of the nodes of a cluster, or of one of the sentinels. */
  readonly url: SecretText;
  /** In place of the one in the URL. */
  readonly password?: SecretText;
  /** The URL names a node of a Redis Cluster. Default false. */
  readonly isCluster?: boolean;
  /** `HOST:PORT` of further nodes or sentinels to ask where the URL's does not answer. */
  readonly nodes?: readonly string[];
  /** The URL names a sentinel; its credentials are those of the master of this name. */
  readonly sentinel?: { readonly master: string; readonly password?: SecretText | undefined };
  /** Certificates, as PEM, that are trusted in place of the public ones. */
  readonly ca?: string;
  /** Issues what to log in with, in place of the URL's password. */
  readonly credential?: RedisCredential;
}

let loaded: typeof Library | undefined;

/** Loaded with the first connection: a worker on SQLite has none. */
export function ioredis(): typeof Library {
  return (loaded ??= createRequire(import.meta.url)("ioredis") as typeof Library);
}

const portDefault = 6379;
/** Pause before the first reconnect; it doubles with each try. */
const reconnectFirstMs = 50;
const reconnectMaxMs = 2_000;
/** How often a cluster is asked which node has which slots, beside what its redirections tell. */
const slotsRefreshMs = 2_000;
/** How long a server is asked to wait for something to come, at most. */
const blockMaxMs = 10_000;
/** How long a connection that is being closed may linger; ioredis spends it in full when the peer closed first. */
const disconnectTimeoutMs = 100;

function reconnectDelayMs(attempt: number): number {
  const delayMs = Math.min(reconnectFirstMs * 2 ** Math.min(attempt - 1, 10), reconnectMaxMs);
  return Math.round(delayMs * (0.5 + Math.random() / 2));
}

function addressOf(node: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(`redis://${node}`);
  return { host: hostname, port: Number(port || portDefault) };
}

/** A cluster may name its nodes by addresses, while the certificate has the name by which the cluster is known. */
function tlsOf(url: URL, ca: string | undefined): ConnectionOptions {
  return {
    ...(ca === undefined ? {} : { ca }),
    checkServerIdentity: (host, certificate) => checkServerIdentity(host, certificate) && checkServerIdentity(url.hostname, certificate),
  };
}

/** As they are now. The user and the password of a URL that lies elsewhere are replaced with it, its address is not. */
function credentialsOf(place: Pick<RedisPlace, "url" | "password">): Pick<RedisOptions, "username" | "password"> {
  const { username, password: ofUrl } = new URL(reveal(place.url));
  const password = place.password === undefined ? ofUrl : encodeURIComponent(reveal(place.password));
  return {
    ...(username === "" ? {} : { username: decodeURIComponent(username) }),
    ...(password === "" ? {} : { password: decodeURIComponent(password) }),
  };
}

/** What a URL says goes before the options beside it. */
function withoutCredentials(url: URL): string {
  return Object.assign(new URL(url), { username: "", password: "" }).href;
}

function sentinelCredentialsOf(sentinel: RedisPlace["sentinel"]): Pick<RedisOptions, "sentinelPassword"> {
  return sentinel?.password === undefined ? {} : { sentinelPassword: reveal(sentinel.password) };
}

/** The client copies these options whenever it connects to a node. */
function withCredentials<Options extends RedisOptions>(options: Options, place: RedisPlace): Options {
  return Object.defineProperties(
    { ...options },
    Object.fromEntries((["username", "password"] as const).map((name) => [name, { enumerable: true, get: () => credentialsOf(place)[name] }])),
  );
}

interface Patience {
  readonly maxRetriesPerRequest: number | null;
  readonly socketTimeout: number;
}

/** A command is answered in time or refused, and never sent again by itself. */
function answersOrFails(commandTimeoutMs: number): Patience & { readonly autoResendUnfulfilledCommands: boolean; readonly commandTimeout: number } {
  return {
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: commandTimeoutMs,
    // A peer that went away without notice is found by its silence; the margin leaves a merely slow one connected.
    socketTimeout: 2 * commandTimeoutMs,
  };
}

/** A command waits until a server answers it. Some of them ask the server to wait, for `blockMaxMs` at most. */
function waits(commandTimeoutMs: number): Patience {
  return { maxRetriesPerRequest: null, socketTimeout: blockMaxMs + 2 * commandTimeoutMs };
}

/** Not connected yet. `patience`: what becomes of commands while no server answers; see the functions of these names. */
export function connect(place: RedisPlace, commandTimeoutMs: number, patience: "answersOrFails" | "waits" = "answersOrFails"): Redis | Cluster {
  const client = clientOf(place, commandTimeoutMs, patience);
  return patience === "waits" ? client : countAnswerTime(client);
}

function clientOf(place: RedisPlace, commandTimeoutMs: number, patience: "answersOrFails" | "waits"): Redis | Cluster {
  const { isCluster = false, nodes = [], sentinel, ca } = place;
  const library = ioredis();
  const url = new URL(reveal(place.url));
  const equipped = (options: RedisOptions): void => void Object.assign(options, credentialsOf(place), sentinelCredentialsOf(sentinel));
  const tls = url.protocol === "rediss:" ? tlsOf(url, ca) : undefined;
  const common = {
    lazyConnect: true,
    ...(patience === "waits" ? waits(commandTimeoutMs) : answersOrFails(commandTimeoutMs)),
    connectTimeout: commandTimeoutMs,
    disconnectTimeout: disconnectTimeoutMs,
    // After a failover behind one address the old primary answers READONLY until it is left.
    reconnectOnError: (error) => error.message.includes("READONLY"),
    ...(tls === undefined ? {} : { tls }),
  } satisfies RedisOptions;
  const single = { ...common, ...credentialsOf(place), enableOfflineQueue: patience === "waits" } satisfies RedisOptions;
  const seeds = [url.host, ...nodes].map(addressOf);
  if (isCluster) {
    return new library.Cluster(seeds, {
      lazyConnect: true,
      // Commands may wait while a node is being connected, within their time; for the cluster as a whole they do not (see client.ts).
      enableOfflineQueue: true,
      ...(patience === "waits" ? {} : { retryDelayOnFailover: 0 }),
      slotsRefreshInterval: slotsRefreshMs,
      slotsRefreshTimeout: commandTimeoutMs,
      clusterRetryStrategy: reconnectDelayMs,
      // Looked up for each connection that is made.
      redisOptions: place.credential === undefined ? withCredentials(common, place) : { ...common, ...credentialsOf(place) },
    });
  }
  // A login by tokens sees to it by itself.
  const retryStrategy = (attempt: number): number => {
    if (place.credential === undefined) equipped(redis.options);
    return reconnectDelayMs(attempt);
  };
  const redis: Redis =
    sentinel === undefined
      ? new library.Redis(withoutCredentials(url), { ...single, retryStrategy })
      : new library.Redis({
          ...single,
          retryStrategy,
          db: Number(url.pathname.slice(1) || 0),
          sentinels: seeds,
          name: sentinel.master,
          sentinelRetryStrategy: reconnectDelayMs,
          ...sentinelCredentialsOf(sentinel),
          ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
        });
  return redis;
}
