// The connections of a recovery queue: one for its commands, and one on which it waits for jobs. Both wait for a server that is
// away, and log in like those of the run store.
import type { Cluster, Redis } from "ioredis";
import { connect, type RedisPlace } from "../redis/connect.ts";
import { Login } from "../redis/login.ts";

export class Connection {
  readonly client: Redis | Cluster;
  readonly #login: Login | undefined;
  #lastError: unknown;

  /** `onChange` hears of every error and every loss of the connection, and when it is there. */
  constructor(place: RedisPlace, commandTimeoutMs: number, onChange: () => void) {
    this.client = connect(place, commandTimeoutMs, "waits");
    this.#login = place.credential && new Login(this.client, place.credential, place);
    this.client.on("error", (error: unknown) => {
      this.#lastError = error;
      onChange();
    });
    for (const event of ["ready", "close", "end"]) this.client.on(event, onChange);
  }

  get isReady(): boolean {
    return this.client.status === "ready";
  }

  get lastError(): unknown {
    return this.#lastError;
  }

  /** Asks for a token where one is needed, and connects. Rejects when that fails at once; a connection that was begun goes on trying. */
  async open(): Promise<void> {
    await this.#login?.start();
    if (this.client.status === "wait" || this.client.status === "end") await this.client.connect();
  }

  close(): void {
    this.#login?.stop();
    // Between two tries nothing would end what waits for an answer; a try that is called off does.
    if (this.client.status === "reconnecting") this.client.connect().catch(() => undefined);
    this.client.disconnect();
  }
}
