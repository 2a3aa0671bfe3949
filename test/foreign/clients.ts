// Clients of others, each a process of its own that makes checks and reports them line by line; see `clients/checks.py`.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { python } from "./peers.ts";

const clientTimeOutMs = 280_000;
const errorOutputMax = 4_000;

export const accessKey = { name: "RootManageSharedAccessKey", key: "foreign" };

export interface ForeignBroker {
  readonly broker: Broker;
  /** What a client trusts that is to believe the broker's certificate. */
  readonly certificatePath: string;
  /** What the broker said that an operator should know. */
  readonly troubles: readonly string[];
  /** The connection string for clients that use TLS, without a port and with the name that the certificate is for. */
  readonly secureConnectionString: string;
}

/** A broker with a certificate that it made itself. It demands a key, unless it is open to whoever shows none. */
export async function startForeignBroker(t: TestContext, entities: unknown, access: "keys" | "open" = "keys"): Promise<ForeignBroker> {
  const troubles: string[] = [];
  const broker = await startBroker({ entities, ...(access === "keys" && { keys: [accessKey] }), log: (message) => troubles.push(message) });
  t.after(() => broker.stop());
  const folder = await mkdtemp(join(tmpdir(), "holdfast-certificate-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const certificatePath = join(folder, "certificate.pem");
  await writeFile(certificatePath, await broker.certificate());
  return {
    broker,
    certificatePath,
    troubles,
    secureConnectionString: `Endpoint=sb://localhost;SharedAccessKeyName=${accessKey.name};SharedAccessKey=${accessKey.key}`,
  };
}

interface Line {
  readonly check?: string;
  readonly wrong?: string | null;
  readonly end?: number;
}

/** Runs a client; each check that it makes is a test of its own. */
export async function runChecks(t: TestContext, command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env }, signal: t.signal, timeout: clientTimeOutMs });
  const closed = once(child, "close");
  closed.catch(() => undefined);
  let errors = "";
  child.stderr.on("data", (text: Buffer) => (errors = (errors + text.toString()).slice(-errorOutputMax)));
  let checks = 0;
  let end: number | undefined;
  for await (const text of createInterface(child.stdout)) {
    const line = JSON.parse(text) as Line;
    end = line.end;
    if (line.check === undefined) continue;
    checks++;
    await t.test(line.check, () => {
      if (typeof line.wrong === "string") throw new Error(line.wrong);
    });
  }
  const [code] = (await closed) as [number | null];
  assert.deepEqual([code, end], [0, checks], `the client ended early; it said\n${errors}`);
  assert.ok(checks > 0, "the client made no checks");
}

export async function runPython(t: TestContext, script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
  await runChecks(t, python, ["-B", join(import.meta.dirname, "clients", script), ...args], env);
}
