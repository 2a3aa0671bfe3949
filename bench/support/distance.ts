/** Puts services of this machine some milliseconds away. */
import { fileURLToPath } from "node:url";
import type { DistanceCalls } from "./distance-process.ts";
import { Peer } from "./peer.ts";

export class Distance {
  readonly #peer: Peer<DistanceCalls>;
  readonly #ports: number[] = [];

  private constructor(peer: Peer<DistanceCalls>) {
    this.#peer = peer;
  }

  static async start(): Promise<Distance> {
    return new Distance(await Peer.start<DistanceCalls>(fileURLToPath(import.meta.resolve("./distance-process.ts"))));
  }

  /** The same address, `delayMs` away each way. `address` is a URL, or a connection string with one as its `Endpoint`. */
  async put(address: string, delayMs: number): Promise<string> {
    const found = /:\/\/(?:[^@/;]*@)?[^:/;]+:(\d+)/.exec(address);
    if (found?.[1] === undefined) throw new Error(`expected an address with a port, got ${address}`);
    const port = await this.#peer.call("open", Number(found[1]), delayMs);
    this.#ports.push(port);
    return address.replace(`:${found[1]}`, `:${port}`);
  }

  /** Moves all that was put somewhere. */
  async moveAll(delayMs: number): Promise<void> {
    for (const port of this.#ports) await this.#peer.call("move", port, delayMs);
  }

  stop(): Promise<void> {
    return this.#peer.stop();
  }
}
