// A real PostgreSQL for the tests: a cluster of its own on a free loopback port, installed with apt where that is possible.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { onFreePort } from "./redis-server.ts";

export interface PostgresServer {
  readonly url: string;
  readonly port: number;
  stop(): Promise<void>;
}

const startTimeoutMs = 60_000;

/** Where Debian puts it, or wherever the path finds it. */
function binaries(): string | undefined {
  const debian = globSync("/usr/lib/postgresql/*/bin/postgres").sort().at(-1);
  if (debian !== undefined) return dirname(debian);
  const found = spawnSync("sh", ["-c", "command -v postgres && command -v initdb"], { encoding: "utf8" });
  return found.status === 0 ? dirname(found.stdout.split("\n")[0] ?? "") : undefined;
}

function install(): string {
  process.stderr.write("postgresql is missing; installing it with apt-get\n");
  const root = process.getuid?.() === 0;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [
    ["-qq", "update"],
    ["-qq", "-y", "install", "postgresql"],
  ])
    spawnSync(root ? "apt-get" : "sudo", root ? args : ["-n", "apt-get", ...args], { stdio: ["ignore", 2, 2], env });
  const found = binaries();
  if (found === undefined)
    throw new Error("expected a PostgreSQL for the tests, found no postgres and initdb on the path; install it (Debian: apt-get install postgresql)");
  return found;
}

/** It refuses to run as root: there it runs as the user that its package has made. */
function owner(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string): number => Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout);
  return { uid: id("-u"), gid: id("-g") };
}

/** Starts a PostgreSQL with an empty database `postgres`, and resolves when it takes connections. */
export async function startPostgres(): Promise<PostgresServer> {
  const bin = binaries() ?? install();
  const folder = await mkdtemp(join(tmpdir(), "holdfast-postgres-"));
  const user = owner();
  if (user !== undefined) await chown(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const made = spawnSync(join(bin, "initdb"), ["-D", data, "-U", "postgres", "--auth=trust", "--no-sync"], { encoding: "utf8", cwd: folder, ...user });
  if (made.status !== 0) throw new Error(`expected initdb to make a database, found: ${made.stderr}`);
  const server = await onFreePort((port) => startOn(join(bin, "postgres"), data, port, user));
  return {
    ...server,
    async stop() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function startOn(
  postgres: string,
  data: string,
  port: number,
  user: { readonly uid: number; readonly gid: number } | undefined,
): Promise<PostgresServer> {
  const args = ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", dirname(data), "-c", "fsync=off", "-c", "max_connections=200"];
  const child = spawn(postgres, args, { cwd: dirname(data), stdio: ["ignore", "ignore", "pipe"], ...user });
  const exited = once(child, "close");
  await new Promise<void>((resolve, reject) => {
    let said = "";
    const timer = setTimeout(() => reject(new Error(`expected postgres to take connections within ${startTimeoutMs} ms, it said: ${said}`)), startTimeoutMs);
    createInterface({ input: child.stderr }).on("line", (line) => {
      said = `${said.slice(-2_000)}${line}\n`;
      if (!/ready to accept connections/.test(line)) return;
      clearTimeout(timer);
      resolve();
    });
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      reject(new Error(`expected postgres to stay up, it exited with ${code}: ${said}`));
    });
  });
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    async stop() {
      // Connections are ended, not waited for.
      child.kill("SIGINT");
      await exited;
    },
  };
}
