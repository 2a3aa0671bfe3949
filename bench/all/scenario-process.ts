/** One scenario in a process of its own, in a group that ends with it: what it has started must not be there for the next one. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { ReportDocument } from "../support/document.ts";

export interface Scenario {
  readonly name: string;
  /** Beside the one that says where to write. */
  readonly parameters: readonly string[];
  /** One document is printed in the end, or tables meanwhile: not both. */
  readonly isSilent: boolean;
  readonly redisUrl: string;
  /** A scenario that takes longer is ended. */
  readonly limitMs: number;
  readonly interrupted: AbortSignal;
}

export interface Ran {
  readonly name: string;
  readonly tookS: number;
  readonly code: number | null;
  readonly isOverdue: boolean;
  /** Undefined when it has not come so far. */
  readonly document: ReportDocument | undefined;
}

const main = resolve(import.meta.dirname, "../main.ts");

export async function runScenario({ name, parameters, isSilent, redisUrl, limitMs, interrupted }: Scenario): Promise<Ran> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-all-"));
  const file = join(folder, "document.json");
  const startMs = performance.now();
  if (!isSilent) process.stdout.write(`\n${name}\n`);
  const child = spawn(process.execPath, [main, name, "--json", file, ...parameters], {
    detached: true,
    stdio: ["ignore", isSilent ? "ignore" : "inherit", "inherit"],
    env: { ...process.env, REDIS_URL: redisUrl },
  });
  let isOverdue = false;
  const end = (): void => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGTERM");
  };
  const timer = setTimeout(() => {
    isOverdue = true;
    end();
  }, limitMs);
  interrupted.addEventListener("abort", end);
  try {
    const [code] = (await once(child, "exit")) as [number | null];
    const document = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as ReportDocument) : undefined;
    return { name, tookS: (performance.now() - startMs) / 1_000, code, isOverdue, document };
  } finally {
    clearTimeout(timer);
    interrupted.removeEventListener("abort", end);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Hands `act` a signal that tells of an interrupt, in place of what it would do. */
export async function interruptibly<Result>(act: (interrupted: AbortSignal) => Promise<Result>): Promise<Result> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, interrupt);
  try {
    return await act(interrupted.signal);
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, interrupt);
  }
}
