/** What a broker, a store and those who work with them have used so far, and what a message has cost between two moments. */
import type { Child } from "#load/dev/child.ts";
import type { BenchBroker } from "./broker.ts";
import { sharedMonotonicMs } from "./notes.ts";
import { machineBusyMs, mainThreadCpuMs, treeCpuMs } from "./process-cpu.ts";
import type { RedisUsage } from "./redis.ts";

export interface Reading {
  readonly ended: number;
  /** By the shared clock. */
  readonly atMs: number;
  readonly clientMs: number;
  readonly mainMs: number;
  readonly machineMs: number;
  readonly brokerMicros: number;
  readonly redis: RedisUsage;
}

export interface Measured {
  readonly perSecond: number;
  /** CPU, a message. */
  readonly clientMicros: number;
  readonly brokerMicros: number;
  readonly redisMicros: number;
  /** Of the client's part, what its processes' main threads use. */
  readonly mainMicros: number;
  /** Scripts of the store that were called, a message. */
  readonly scriptCalls: number;
  /** Processors that something else was busy on: other programs, the bench itself, the machine's host. */
  readonly otherCores: number;
}

/** Those that a message passes through. */
export interface Parts {
  readonly broker: BenchBroker;
  readonly children: readonly Child<unknown>[];
  readonly usage: () => Promise<RedisUsage>;
}

/** `ended`: how many messages have ended by now. */
export async function read({ broker, children, usage }: Parts, ended: number): Promise<Reading> {
  const atMs = sharedMonotonicMs();
  const [brokerMicros, redis] = await Promise.all([broker.peer.call("cpuMicros"), usage()]);
  const sumOf = (cpuMs: (pid: number) => number | undefined): number => children.reduce((sum, child) => sum + (cpuMs(child.process.pid ?? 0) ?? Number.NaN), 0);
  return { ended, atMs, clientMs: sumOf(treeCpuMs), mainMs: sumOf(mainThreadCpuMs), machineMs: machineBusyMs() ?? Number.NaN, brokerMicros, redis };
}

export function between(from: Reading, to: Reading): Measured {
  const counted = to.ended - from.ended;
  const tookMs = to.atMs - from.atMs;
  const clientMs = to.clientMs - from.clientMs;
  const brokerMicros = to.brokerMicros - from.brokerMicros;
  const redisMicros = to.redis.cpuMicros - from.redis.cpuMicros;
  const otherMs = to.machineMs - from.machineMs - clientMs - (brokerMicros + redisMicros) / 1_000;
  return {
    perSecond: (counted / tookMs) * 1_000,
    clientMicros: (clientMs * 1_000) / counted,
    mainMicros: ((to.mainMs - from.mainMs) * 1_000) / counted,
    brokerMicros: brokerMicros / counted,
    redisMicros: redisMicros / counted,
    scriptCalls: (to.redis.scriptCalls - from.redis.scriptCalls) / counted,
    otherCores: Math.max(0, otherMs / tookMs),
  };
}
