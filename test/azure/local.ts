// Runs the proof against the local broker over TLS, as if that were the real one: its certificate is trusted as a further authority, and nothing else is known of it.
import { type SpawnOptions, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBroker } from "#load/broker/broker.ts";

export interface Outcome {
  readonly code: number | null;
  readonly output: string;
  /** Queues that the broker has afterwards. */
  readonly left: readonly string[];
}

const key = { name: "proof", key: "cHJvb2Ytb2YtdGhlLWxvY2FsLWJyb2tlcg==" };

/** `stdio`: of the child; its standard output is in the outcome where it is piped. */
export async function proveLocally(args: readonly string[], stdio: SpawnOptions["stdio"]): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-proof-"));
  const broker = await startBroker({ entities: { queues: [] }, keys: [key] });
  try {
    const authority = join(folder, "authority.pem");
    writeFileSync(authority, await broker.certificate());
    const connectionString = `Endpoint=sb://localhost:${broker.port};SharedAccessKeyName=${key.name};SharedAccessKey=${key.key}`;
    const { AZURE_SERVICE_BUS_NAMESPACE: _namespace, ...env } = process.env;
    const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts"), ...args], {
      stdio,
      env: { ...env, AZURE_SERVICE_BUS_CONNECTION_STRING: connectionString, NODE_EXTRA_CA_CERTS: authority },
    });
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
    const code = await new Promise<number | null>((done) => child.on("close", done));
    return { code, output, left: Object.keys(broker.inspect().queues) };
  } finally {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
