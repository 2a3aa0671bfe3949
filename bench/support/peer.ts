/**
 * A part of a bench in a process of its own, so that its CPU and memory can be told from the rest. The parent calls what the
 * child serves by name, one answer a call; every child also tells its CPU time and its memory.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { enableCompileCache, getCompileCacheDir } from "node:module";
import type { Memory } from "./memory.ts";

// Parameters of any kind: what a peer serves is checked where it is called.
export type Served = Record<string, (...parameters: never[]) => unknown>;

/** What every child serves. */
export interface ServedByAll {
  /** CPU time of the process since it began, all its threads together, in microseconds. */
  cpuMicros(): number;
  collectGarbage(): void;
  /** After all garbage is collected. */
  memory(): Promise<Memory>;
}

export interface Call {
  readonly id: number;
  readonly name: string;
  readonly parameters: readonly unknown[];
}

export type Answer = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly failed: string };

/** What a child sends first. */
export const ready = "ready";

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

export class Peer<Calls extends Served> {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;

  private constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.#ended = once(child, "exit");
    child.on("message", (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ("failed" in answer) waiting?.reject(new Error(`in ${name}: ${answer.failed}`));
      else waiting?.resolve(answer.result as never);
    });
    child.once("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`expected ${name} to answer, it ended with ${code ?? signal}`));
      this.#waiting.clear();
    });
  }

  /** Starts a script that calls `serve`; resolves when it did. */
  static async start<Calls extends Served>(script: string, ...parameters: readonly string[]): Promise<Peer<Calls>> {
    // Several children compile much the same modules.
    enableCompileCache();
    const child = fork(script, parameters, { serialization: "advanced", env: { ...process.env, NODE_COMPILE_CACHE: getCompileCacheDir() } });
    const first = await Promise.race([once(child, "message"), once(child, "exit")]);
    if (first[0] !== ready) throw new Error(`expected ${script} to start, it ended with ${String(first[0] ?? first[1])}`);
    return new Peer<Calls>(child, [script, ...parameters].join(" "));
  }

  call<Name extends keyof (Calls & ServedByAll) & string>(
    name: Name,
    ...parameters: Parameters<(Calls & ServedByAll)[Name]>
  ): Promise<Awaited<ReturnType<(Calls & ServedByAll)[Name]>>> {
    type Result = Awaited<ReturnType<(Calls & ServedByAll)[Name]>>;
    this.#calls += 1;
    const id = this.#calls;
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, name, parameters } satisfies Call);
    });
  }

  /** Tells the child to end, and waits until it did. */
  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#ended;
  }
}
