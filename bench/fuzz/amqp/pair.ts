// A case of two ends that are both the engine's, on a wire that brings bytes late and in pieces. What must hold: neither finds
// a violation of the other's, and everything that was sent has one end.
import { setImmediate as nextTick } from "node:timers/promises";
import type { ConnectionEnd } from "#runtime/amqp/connection/connection-options.ts";
import { openClient, openServer } from "#runtime/amqp/connection/connection.ts";
import type { Connection } from "#runtime/amqp/connection/connection.ts";
import type { Limits } from "#runtime/amqp/codec/limits.ts";
import { Random } from "../random.ts";
import type { CaseReport } from "../target.ts";
import { Owner } from "./owner.ts";
import { FuzzClock, FuzzSocket } from "./wire.ts";

const stepsMax = 300;

/** One direction of the wire: what was written at one end and has not come at the other. */
interface Way {
  readonly from: FuzzSocket;
  readonly to: FuzzSocket;
  waits: Buffer;
  isOver: boolean;
}

export class PairCase {
  readonly #random: Random;
  readonly #clock = new FuzzClock();
  readonly #owners: readonly Owner[];
  readonly #ways: readonly Way[];
  readonly #connections: readonly Connection[];
  readonly #ends: ConnectionEnd[] = [];

  constructor(seed: number) {
    const random = (this.#random = new Random(seed));
    const sockets = [new FuzzSocket({ highWaterMark: 65_536 }), new FuzzSocket({ highWaterMark: 65_536 })] as const;
    this.#ways = [
      { from: sockets[0], to: sockets[1], waits: Buffer.alloc(0), isOver: false },
      { from: sockets[1], to: sockets[0], waits: Buffer.alloc(0), isOver: false },
    ];
    this.#owners = [new Owner(random), new Owner(random)];
    const options = () => ({ containerId: "engine", clock: this.#clock, limits: this.#limits() });
    const events = (index: number) => ({
      ...this.#owners[index]!.connectionEvents(index === 0),
      onClosed: (_connection: Connection, end: ConnectionEnd) => void this.#ends.push(end),
    });
    const server = openServer(
      sockets[1],
      { ...options(), sasl: { mechanisms: ["ANONYMOUS"], authenticate: (_init, decide) => decide(true), optional: true } },
      events(1),
    );
    const client = openClient(sockets[0], { ...options(), ...(random.chance(0.5) && { sasl: { mechanism: "ANONYMOUS" as const } }) }, events(0));
    this.#connections = [client, server];
  }

  #limits(): Partial<Limits> {
    const random = this.#random;
    return {
      frameBytesMax: random.pick([512, 1_000, 65_536]),
      incomingWindowFrames: random.pick([1, 2, 10, 1_000]),
      unsettledMax: random.pick([1, 20, 1_000]),
      linksMax: random.pick([2, 20]),
      sessionsMax: 4,
    };
  }

  async run(): Promise<CaseReport> {
    const random = this.#random;
    for (let left = 20 + random.below(stepsMax); left > 0 && this.#ends.length === 0; left--) {
      await this.#bring(random.pick(this.#ways), random.chance(0.5));
      if (random.chance(0.2)) random.pick(this.#owners).act();
    }
    random.pick(this.#connections).close();
    for (let left = stepsMax; left > 0 && this.#ends.length < 2; left--) for (const way of this.#ways) await this.#bring(way, true);
    this.#clock.advance(60_000);
    for (const { from } of this.#ways) from.destroy();
    const wasOpen = this.#owners.every(({ reached }) => reached.has("open"));
    for (const end of this.#ends) {
      if (end.by !== "local" && end.by !== "peer" && (wasOpen || end.by !== "socket"))
        throw new Error(`expected both ends to close in order, found ${end.by} ${end.error?.condition ?? ""}: ${end.error?.description ?? ""}`, {
          cause: end.cause,
        });
    }
    if (this.#ends.length !== 2) throw new Error(`expected both ends to be over, found ${this.#connections.map(({ state }) => state.at).join(" and ")}`);
    for (const owner of this.#owners) owner.checkFates();
    return { outcome: "both ends the engine's", reached: new Set(this.#owners.flatMap((owner) => [...owner.reached].map((what) => `both: ${what}`))) };
  }

  /** Brings some of what waits, or all of it. */
  async #bring(way: Way, all: boolean): Promise<void> {
    way.waits = Buffer.concat([way.waits, ...way.from.written.splice(0)]);
    const length = all ? way.waits.length : this.#random.below(Math.min(way.waits.length, 2_000) + 1);
    if (length > 0 && !way.to.destroyed && !way.isOver) way.to.push(Buffer.from(way.waits.subarray(0, length)));
    way.waits = way.waits.subarray(length);
    if (way.waits.length === 0 && way.from.isEnded && !way.isOver) {
      way.isOver = true;
      way.to.push(null);
    }
    await nextTick();
  }
}
