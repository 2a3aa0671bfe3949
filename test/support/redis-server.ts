// A real Redis for the tests: starts `redis-server` on a free port, installing it with apt where that is possible.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

const startTimeoutMs = 20_000;

function isInstalled(): boolean {
  return spawnSync("redis-server", ["--version"], { stdio: "ignore" }).status === 0;
}

function install(): void {
  process.stderr.write("redis-server is missing; installing it with apt-get\n");
  const root = process.getuid?.() === 0;
  const apt = (...args: string[]): boolean =>
    spawnSync(root ? "apt-get" : "sudo", root ? args : ["-n", "apt-get", ...args], {
      stdio: ["ignore", 2, 2],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    }).status === 0;
  apt("-qq", "update");
  apt("-qq", "-y", "install", "redis-server");
  if (!isInstalled()) {
    throw new Error(
      "expected a Redis for the tests, found neither REDIS_URL nor a redis-server on the path; install it (Debian: apt-get install redis-server; macOS: brew install redis) or set REDIS_URL",
    );
  }
}

/**
 * Below those that the system gives to connections and to servers that ask for any: a port that is free stays so while a test has
 * nobody listen there. Redis's cluster bus listens on the port plus 10 000, which is below them, too, and none of these.
 */
const portsFrom = 10_000;
const portsTo = 20_000;

/** Whether no other process of tests has the port: each holds it for UDP, where nobody listens, until it ends. */
async function reserve(port: number): Promise<boolean> {
  const socket = createSocket("udp4");
  try {
    const bound = once(socket, "listening");
    socket.bind({ port, address: "127.0.0.1", exclusive: true });
    await bound;
  } catch {
    socket.close();
    return false;
  }
  socket.unref();
  return true;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}

/** Nobody else is given it while this process lives. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(portsFrom, portsTo);
    if ((await reserve(port)) && (await isFree(port))) return port;
  }
}

/** How often another free port is tried, where one was taken by somebody else before the server had it. */
const portsTried = 5;

/** Starts a Redis of its own on a free loopback port, without persistence, and resolves when it accepts connections. */
export async function startRedis(extraArgs: readonly string[] = [], wantedPort?: number, env?: Readonly<Record<string, string>>): Promise<RedisServer> {
  if (!isInstalled()) install();
  if (wantedPort !== undefined) return startOn(wantedPort, extraArgs, env);
  return onFreePort((port) => startOn(port, extraArgs, env));
}

/** Calls `start` with a free port, and with another one when it fails: between the look and the start, somebody else may have taken it. */
export async function onFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    const port = await freePort();
    try {
      return await start(port);
    } catch (error) {
      if (tried === portsTried) throw error;
    }
  }
}

async function startOn(port: number, extraArgs: readonly string[], env?: Readonly<Record<string, string>>): Promise<RedisServer> {
  // A replica keeps what it is sent in a file, and the next server would begin with it.
  const folder = await mkdtemp(join(tmpdir(), "holdfast-redis-"));
  const args = ["--dir", folder, "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", ...extraArgs];
  const child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } });
  const exited = once(child, "close");
  const ready = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`expected redis-server to accept connections within ${startTimeoutMs} ms`)), startTimeoutMs);
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (/ready to accept connections/i.test(line)) {
        clearTimeout(timer);
        resolve();
      }
    });
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      reject(new Error(`expected redis-server to stay up, it exited with ${code}`));
    });
  });
  await ready;
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    process: child,
    async stop() {
      child.kill("SIGTERM");
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
