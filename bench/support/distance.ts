/** Puts services of this machine some milliseconds away. */
import { type Proxied, Proxies } from "./proxies.ts";

export class Distance {
  readonly #proxies: Proxies;
  readonly #placed: Proxied[] = [];

  private constructor(proxies: Proxies) {
    this.#proxies = proxies;
  }

  static async start(): Promise<Distance> {
    return new Distance(await Proxies.start());
  }

  /** The same address, `delayMs` away each way. `address` is a URL, or a connection string with one as its `Endpoint`. */
  async put(address: string, delayMs: number): Promise<string> {
    const proxied = await this.#proxies.before(address);
    this.#placed.push(proxied);
    await place(proxied, delayMs);
    return proxied.address;
  }

  /** Moves all that was put somewhere. */
  async moveAll(delayMs: number): Promise<void> {
    for (const proxied of this.#placed) await place(proxied, delayMs);
  }

  stop(): Promise<void> {
    return this.#proxies.stop();
  }
}

async function place(proxied: Proxied, delayMs: number): Promise<void> {
  await proxied.clear();
  if (delayMs > 0) await proxied.add({ kind: "latency", latencyMs: delayMs });
}
