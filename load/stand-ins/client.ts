import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { extname, join } from "node:path";
import type { Behaviour, BehaviourChange } from "./behaviour.ts";
import type { LedgerSummary, RepeatedKey } from "./ledger.ts";
import type { StandInAddresses } from "./stand-ins.ts";

export type TargetName = keyof StandInAddresses["urls"];

/** The control API of running stand-ins. */
export class StandInControl {
  readonly #url: string;

  constructor(controlUrl: string) {
    this.#url = controlUrl;
  }

  summary(): Promise<Readonly<Record<TargetName, LedgerSummary & { readonly hung: number }>>> {
    return this.#ask("GET", "/ledger/summary");
  }

  repeats(): Promise<Readonly<Record<TargetName, readonly RepeatedKey[]>>> {
    return this.#ask("GET", "/ledger/repeats");
  }

  /** Changes the named fields of one target, or of all; resolves with how each behaves now. */
  behave(change: BehaviourChange): Promise<Readonly<Record<TargetName, Behaviour>>> {
    return this.#ask("POST", "/behaviour", change);
  }

  async forget(): Promise<void> {
    await this.#ask("DELETE", "/ledger");
  }

  async #ask<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const content = body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const response = await fetch(`${this.#url}${path}`, { method, ...content });
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(`expected the stand-ins to answer ${method} ${path}, got ${response.status}: ${JSON.stringify(answer)}`);
    return answer as Answer;
  }
}

export interface StandInProcess extends StandInAddresses {
  readonly process: ChildProcess;
  /** Stops it and waits until it is gone. Idempotent. */
  stop(): Promise<void>;
}

/** Starts the stand-ins as a child process and resolves when they listen. They stop with this process, however it ends. */
export async function spawnStandIns(): Promise<StandInProcess> {
  const main = `main${extname(import.meta.filename)}`;
  // A group of its own: a signal to the parent's whole group is for the parent alone, which drains first and stops them then.
  const child = fork(join(import.meta.dirname, main), { stdio: ["ignore", "inherit", "inherit", "ipc"], detached: true });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const refused = exited.then(() => {
    throw new Error(`expected the stand-ins to start, the process ended with ${child.exitCode ?? child.signalCode}`);
  });
  refused.catch(() => undefined);
  const [ready] = (await Promise.race([once(child, "message"), refused])) as [StandInAddresses];
  return {
    urls: ready.urls,
    controlUrl: ready.controlUrl,
    process: child,
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}
