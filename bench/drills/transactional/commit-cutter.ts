/** A proxy before a PostgreSQL that cuts connections at their commit: before the server has it, or when it has, before its answer. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Random } from "#runtime/core/clock.ts";

/** A simple query of PostgreSQL's protocol: `Q`, its length, its text, a zero. */
const commit = Buffer.from("Q\0\0\0\x0bCOMMIT\0", "latin1");

export class CommitCutter {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #share: number;
  readonly #random: Random;
  commits = 0;
  cutBefore = 0;
  cutAfter = 0;

  private constructor(port: number, share: number, random: Random) {
    this.#share = share;
    this.#random = random;
    this.#server = createServer((client) => this.#join(client, connect(port, "127.0.0.1")));
  }

  static async start(port: number, share: number, random: Random): Promise<CommitCutter> {
    const cutter = new CommitCutter(port, share, random);
    cutter.#server.listen(0, "127.0.0.1");
    await once(cutter.#server, "listening");
    return cutter;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #join(client: Socket, server: Socket): void {
    const end = (): void => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", end).on("close", () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    let isDeaf = false;
    client.on("data", (bytes: Buffer) => {
      if (!bytes.includes(commit)) return void server.write(bytes);
      this.commits += 1;
      if (this.#random() >= this.#share) return void server.write(bytes);
      if (this.#random() < 0.5) {
        this.cutBefore += 1;
        return end();
      }
      this.cutAfter += 1;
      isDeaf = true;
      server.write(bytes);
    });
    server.on("data", (bytes: Buffer) => (isDeaf ? end() : void client.write(bytes)));
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
