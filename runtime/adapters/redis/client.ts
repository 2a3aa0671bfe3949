// The connection: ioredis set up so that a command is answered in time or refused, and never sent again by itself.
import type { Cluster, Redis } from "ioredis";
import { isCluster } from "./is-cluster.ts";
import { ConfigurationError, type HoldfastError, messageOf, StoreRefusedError, StoreUnavailableError } from "../../core/errors.ts";
import { reveal } from "../../core/secret.ts";
import { connect, type RedisPlace } from "./connect.ts";
import { Login } from "./login.ts";
import { type KeysOf, noKeys, scriptCall } from "./script-call.ts";
import type { Script } from "./scripts.ts";

export interface RedisClientOptions extends RedisPlace {
  readonly commandTimeoutMs: number;
  /** The connection was lost or changed: another server may answer from now on. */
  readonly onDisturbed: () => void;
}

/** Words at the beginning of an error that only another configuration cures. */
const refusals = ["WRONGPASS", "NOAUTH", "NOPERM", "ERR invalid password", "ERR Client sent AUTH"];

/** Where in a script something failed: what the server or Lua says of it stands behind the last of these. */
const inScript = /user_script: ?\d+: /g;
/** A key of another type; in Lua's words and those of its libraries, a value that is no record, or a text that is no JSON. */
const ofRecord = /^(?:-?WRONGTYPE\b|attempt to (?:perform|compare|index|concatenate) |bad argument |data string too short|Expected )/;

/** Whether a server that works met what it cannot work with. It is no fault of what else was asked, nor of the server. */
function isOfRecord(found: string): boolean {
  return ofRecord.test(found.split(inScript).at(-1) ?? "");
}

function remedyFor(found: string): string {
  if (found.startsWith("MOVED")) return "it is a node of a cluster: say cluster: true beside its URL";
  if (found.includes("NOPERM")) return "give its user the commands and keys that it needs (see README, Redis)";
  return "look at the server and the way to it";
}

/** One connection, or one for each node of a cluster. Every rejection is a `StoreUnavailableError`, or a `StoreRefusedError` of a script that met what is no record. */
export class RedisClient {
  readonly #redis: Redis | Cluster;
  /** Without credentials. */
  readonly #address: string;
  readonly #login: Login | undefined;
  #lastError: unknown;

  constructor(options: RedisClientOptions) {
    this.#address = new URL(reveal(options.url)).host;
    this.#redis = connect(options, options.commandTimeoutMs);
    this.#login = options.credential && new Login(this.#redis, options.credential, options);
    this.#redis.on("error", (error: unknown) => {
      this.#lastError = error;
    });
    for (const event of options.isCluster === true ? ["-node", "+node", "close"] : ["close"]) this.#redis.on(event, options.onDisturbed);
    // A replica that takes the place of a node was known before: all that shows is that the node has gone.
    if (options.isCluster === true) this.#redis.on("+node", (node: Redis) => node.on("close", options.onDisturbed));
  }

  async start(): Promise<void> {
    try {
      await this.#login?.start();
      await this.#redis.connect();
    } catch (error) {
      this.#login?.stop();
      this.#redis.disconnect();
      if (error instanceof ConfigurationError) throw error;
      const cause = this.#lastError ?? error;
      const found = messageOf(cause);
      if (refusals.some((word) => found.startsWith(word))) {
        throw new ConfigurationError(
          `expected Redis at ${this.#address} to accept the credentials of the URL, found: ${found}; correct the URL or the user's permissions`,
          { cause },
        );
      }
      throw this.#unavailable(cause);
    }
  }

  async stop(): Promise<void> {
    this.#login?.stop();
    try {
      await this.#redis.quit();
    } catch {
      this.#redis.disconnect();
    }
  }

  /** Runs a script in one call; `more`: keys behind `keys`. A server that does not know it did not run it: then it is sent once more, with its source. */
  async run(script: Script, keys: readonly string[], args: readonly (string | Buffer)[], more: KeysOf = noKeys): Promise<unknown> {
    const all = (): (string | Buffer | number)[] => [keys.length + more.ends.length, ...keys, ...more.ends.map((end) => more.prefix + end), ...args];
    try {
      const redis = this.#ready();
      const call = scriptCall(script, keys, args, more);
      return await (call === undefined ? redis.callBuffer("evalsha", [script.sha, ...all()]) : redis.sendCommand(call));
    } catch (error) {
      if (!messageOf(error).startsWith("NOSCRIPT")) throw this.#failed(script, error);
    }
    try {
      return await this.#redis.callBuffer("eval", [script.source, ...all()]);
    } catch (error) {
      throw this.#failed(script, error);
    }
  }

  /** A plain write: refused, as the scripts are, when memory is full or the server is a replica. */
  async touch(key: string, lifeMs: number): Promise<void> {
    try {
      await this.#ready().set(key, "", "PX", lifeMs);
    } catch (error) {
      throw this.#unavailable(error);
    }
  }

  /** A cluster of which no node is known would keep commands until one is. */
  #ready(): Redis | Cluster {
    if (isCluster(this.#redis) && this.#redis.status !== "ready") throw new Error("no node of the cluster is connected");
    return this.#redis;
  }

  #failed({ name }: Script, error: unknown): HoldfastError {
    const found = messageOf(error);
    if (!isOfRecord(found)) return this.#unavailable(error);
    const what = `expected Redis at ${this.#address} to hold records of this store under its keys, found in script ${name}: ${found}; look at what else writes there`;
    return new StoreRefusedError(what, { cause: error });
  }

  #unavailable(error: unknown): StoreUnavailableError {
    const isDown = this.#redis.status !== "ready" && this.#lastError !== undefined && messageOf(this.#lastError) !== messageOf(error);
    const found = isDown ? `${messageOf(error)} (${messageOf(this.#lastError)})` : messageOf(error);
    return new StoreUnavailableError(`expected Redis at ${this.#address} to answer, found: ${found}; ${remedyFor(found)}`, { cause: error });
  }
}
