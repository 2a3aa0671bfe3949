/** A TCP proxy on loopback that makes trouble for those who speak through it. Sound as long as nothing is put on it. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Random } from "#runtime/core/clock.ts";
import { Flow } from "./flow.ts";
import { type Direction, isInDirection, type Toxic, type ToxicInput, toxicSchema } from "./toxics.ts";

export interface FaultProxyOptions {
  readonly targetPort: number;
  /** Default: 127.0.0.1. */
  readonly targetHost?: string;
  /** For jitter and shares. */
  readonly random: Random;
}

interface Placed {
  readonly toxic: Toxic;
  /** Connections that it is wrong with, so far as that was drawn. */
  readonly drawn: Map<Connection, boolean>;
  /** What is still to happen to connections. */
  readonly timers: Map<Connection, NodeJS.Timeout>;
}

class Connection {
  readonly client: Socket;
  readonly server: Socket;
  readonly flows: Flow[] = [];
  /** Met a black hole that lasts. */
  readonly silenced = new Set<Toxic>();

  constructor(client: Socket, server: Socket) {
    this.client = client;
    this.server = server;
  }

  close(): void {
    this.client.destroy();
    this.server.destroy();
  }

  reset(): void {
    this.client.resetAndDestroy();
    this.server.resetAndDestroy();
  }
}

export class FaultProxy {
  readonly #options: FaultProxyOptions;
  readonly #placed = new Map<number, Placed>();
  readonly #connections = new Set<Connection>();
  #server: Server | undefined;
  #port = 0;
  #lastId = 0;
  #target: { readonly port: number; readonly host: string };
  /** Opening and closing of the door, one after the other. */
  #door: Promise<void> = Promise.resolve();

  private constructor(options: FaultProxyOptions) {
    this.#options = options;
    this.#target = { port: options.targetPort, host: options.targetHost ?? "127.0.0.1" };
  }

  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    await proxy.#open();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** New connections go elsewhere, as when a name is given to another server; those that there are are cut. */
  retarget(port: number, host = "127.0.0.1"): void {
    this.#target = { port, host };
    for (const connection of this.#connections) connection.close();
  }

  /** From now on this is wrong; resolves with what ends it, when it is in effect. */
  async add(input: ToxicInput): Promise<number> {
    const toxic = toxicSchema.parse(input);
    const id = (this.#lastId += 1);
    const placed: Placed = { toxic, drawn: new Map(), timers: new Map() };
    this.#placed.set(id, placed);
    for (const connection of this.#connections) this.#meet(connection, placed);
    this.#changed();
    await this.#adjustDoor();
    return id;
  }

  /** Ends one fault; resolves when it is over. */
  async remove(id: number): Promise<void> {
    this.#takeAway(id);
    this.#changed();
    await this.#adjustDoor();
  }

  async clear(): Promise<void> {
    for (const id of this.#placed.keys()) this.#takeAway(id);
    this.#changed();
    await this.#adjustDoor();
  }

  async stop(): Promise<void> {
    for (const id of this.#placed.keys()) this.#takeAway(id);
    for (const connection of this.#connections) connection.close();
    await this.#door;
    await this.#close();
  }

  /** What it had not done yet, it does not do any more. */
  #takeAway(id: number): void {
    for (const timer of this.#placed.get(id)?.timers.values() ?? []) clearTimeout(timer);
    this.#placed.delete(id);
  }

  #changed(): void {
    for (const { flows } of this.#connections) for (const flow of flows) flow.changed();
  }

  /** Nobody listens while one of the faults says so. */
  #adjustDoor(): Promise<void> {
    this.#door = this.#door.then(() => {
      const isClosed = [...this.#placed.values()].some(({ toxic: { kind } }) => kind === "down" || kind === "refused");
      if (isClosed) return this.#close();
      return this.#server === undefined ? this.#open() : undefined;
    });
    return this.#door;
  }

  async #open(): Promise<void> {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => this.#accept(client));
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  async #close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    // It is closed for new connections at once; that it has no connections left is not waited for.
    server?.close();
    await Promise.resolve();
  }

  #accept(client: Socket): void {
    const server = connect({ ...this.#target, noDelay: true, allowHalfOpen: true });
    const connection = new Connection(client, server);
    this.#connections.add(connection);
    for (const socket of [client, server]) {
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.#forget(connection));
    }
    for (const placed of this.#placed.values()) this.#meet(connection, placed);
    const flow = (from: Socket, to: Socket, direction: Direction): Flow =>
      new Flow(from, to, {
        toxics: () => this.#toxicsOf(connection, direction),
        random: this.#options.random,
        exhausted: () => {
          client.destroySoon();
          server.destroySoon();
        },
      });
    connection.flows.push(flow(client, server, "to-server"), flow(server, client, "to-client"));
  }

  #forget(connection: Connection): void {
    if (!connection.client.destroyed || !connection.server.destroyed) return;
    this.#connections.delete(connection);
    for (const { drawn, timers } of this.#placed.values()) {
      drawn.delete(connection);
      clearTimeout(timers.get(connection));
      timers.delete(connection);
    }
  }

  /** A fault and a connection meet: it is drawn whether it is wrong with this one, and what happens once, happens. */
  #meet(connection: Connection, { toxic, drawn, timers }: Placed): void {
    const isWrong = toxic.share === 1 || this.#options.random() < toxic.share;
    drawn.set(connection, isWrong);
    if (!isWrong) return;
    if (toxic.kind === "down") connection.close();
    if (toxic.kind === "black-hole" && toxic.forGood) connection.silenced.add(toxic);
    if (toxic.kind === "reset")
      timers.set(
        connection,
        setTimeout(() => connection.reset(), toxic.afterMs),
      );
  }

  #toxicsOf(connection: Connection, direction: Direction): readonly Toxic[] {
    if (this.#placed.size === 0 && connection.silenced.size === 0) return none;
    const toxics = new Set(connection.silenced);
    for (const { toxic, drawn } of this.#placed.values()) if (drawn.get(connection) === true) toxics.add(toxic);
    return [...toxics].filter((toxic) => isInDirection(toxic, direction));
  }
}

const none: readonly Toxic[] = [];
