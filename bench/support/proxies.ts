/** Fault proxies before services of this machine. */
import { fileURLToPath } from "node:url";
import type { ToxicInput } from "#load/faults/toxics.ts";
import { Peer } from "./peer.ts";
import type { ProxyCalls } from "./proxy-process.ts";

/** A service behind a proxy. */
export interface Proxied {
  /** The service's address, through the proxy. */
  readonly address: string;
  add(toxic: ToxicInput): Promise<number>;
  remove(id: number): Promise<void>;
  clear(): Promise<void>;
  retarget(port: number): Promise<void>;
}

export class Proxies {
  readonly #peer: Peer<ProxyCalls>;

  private constructor(peer: Peer<ProxyCalls>) {
    this.#peer = peer;
  }

  static async start(): Promise<Proxies> {
    return new Proxies(await Peer.start<ProxyCalls>(fileURLToPath(import.meta.resolve("./proxy-process.ts"))));
  }

  /** `address` is a URL, or a connection string with one as its `Endpoint`. */
  async before(address: string, seed = 1): Promise<Proxied> {
    const found = /:\/\/(?:[^@/;]*@)?[^:/;]+:(\d+)/.exec(address);
    if (found?.[1] === undefined) throw new Error(`expected an address with a port, got ${address}`);
    const port = await this.#peer.call("open", Number(found[1]), seed);
    return {
      address: address.replace(`:${found[1]}`, `:${port}`),
      add: (toxic) => this.#peer.call("add", port, toxic),
      remove: (id) => this.#peer.call("remove", port, id),
      clear: () => this.#peer.call("clear", port),
      retarget: (targetPort) => this.#peer.call("retarget", port, targetPort),
    };
  }

  stop(): Promise<void> {
    return this.#peer.stop();
  }
}
