// A RabbitMQ of a test's own: its node name, ports and folders collide with nobody's, and it is gone with its folder.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const serverScript = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const controlScript = "/usr/lib/rabbitmq/bin/rabbitmqctl";
const epmdCommand = "/usr/bin/epmd";
const startMsMax = 90_000;
const stopMsMax = 20_000;
const controlMsMax = 60_000;
const attemptEveryMs = 200;

export interface RabbitMq extends AsyncDisposable {
  readonly port: number;
  /** For TLS; clients that show the certificate are let in by EXTERNAL, as `guest`. */
  readonly securePort: number;
  /** Gives the server an order, as its administrator would. */
  control(...args: readonly string[]): Promise<void>;
}

/** Ports that were free a moment ago. RabbitMQ cannot be asked to choose its own. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Ends a process and what it started, by its group. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  process.kill(-child.pid, "SIGTERM");
  const late = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), stopMsMax);
  await exited;
  clearTimeout(late);
}

/** Starts a server with the AMQP 1.0 plugin, and waits until it accepts connections. */
export async function startRabbitMq({
  authority,
  certificate,
  key,
}: {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}): Promise<RabbitMq> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-rabbitmq-"));
  const [port = 0, securePort = 0, distributionPort = 0, epmdPort = 0] = await freePorts(4);
  const authorityPath = join(folder, "authority.pem");
  const certificatePath = join(folder, "certificate.pem");
  const keyPath = join(folder, "key.pem");
  const settings = [
    `listeners.tcp.1 = 127.0.0.1:${port}`,
    `listeners.ssl.1 = 127.0.0.1:${securePort}`,
    `ssl_options.cacertfile = ${authorityPath}`,
    `ssl_options.certfile = ${certificatePath}`,
    `ssl_options.keyfile = ${keyPath}`,
    "ssl_options.verify = verify_peer",
    "ssl_options.fail_if_no_peer_cert = false",
    ...["PLAIN", "ANONYMOUS", "EXTERNAL"].map((name, index) => `auth_mechanisms.${index + 1} = ${name}`),
    "ssl_cert_login_from = common_name",
    "log.file.level = warning",
  ];
  await writeFile(authorityPath, authority);
  await writeFile(certificatePath, certificate);
  await writeFile(keyPath, key);
  await writeFile(join(folder, "enabled_plugins"), "[rabbitmq_amqp1_0,rabbitmq_auth_mechanism_ssl].\n");
  await writeFile(join(folder, "rabbitmq.conf"), `${settings.join("\n")}\n`);
  const env = {
    ...process.env,
    HOME: folder,
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: "127.0.0.1",
    RABBITMQ_NODENAME: `holdfast-${process.pid}@localhost`,
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_MNESIA_BASE: join(folder, "mnesia"),
    RABBITMQ_LOG_BASE: join(folder, "log"),
    RABBITMQ_PID_FILE: join(folder, "pid"),
    RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq"),
    RABBITMQ_CONF_ENV_FILE: join(folder, "no-environment"),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "enabled_plugins"),
  };
  // Without one of its own, the server would leave a port mapper behind that outlives it.
  const epmd = spawn(epmdCommand, ["-port", String(epmdPort), "-address", "127.0.0.1"], { detached: true, stdio: "ignore", env });
  const server = spawn(serverScript, [], { detached: true, stdio: ["ignore", "pipe", "pipe"], env });
  let output = "";
  for (const stream of [server.stdout, server.stderr]) stream.on("data", (text: Buffer) => (output = (output + text.toString()).slice(-4_000)));
  const stop = async (): Promise<void> => {
    await end(server);
    await end(epmd);
    await rm(folder, { recursive: true, force: true });
  };
  const deadlineMs = performance.now() + startMsMax;
  while (!(await accepts(port))) {
    if (server.exitCode !== null || performance.now() > deadlineMs) {
      await stop();
      throw new Error(`expected RabbitMQ to accept connections within ${startMsMax} ms; it said\n${output}`);
    }
    await pause(attemptEveryMs);
  }
  const control = async (...args: readonly string[]): Promise<void> => {
    const { status, stderr } = spawnSync(controlScript, ["--node", env.RABBITMQ_NODENAME, ...args], { env, encoding: "utf8", timeout: controlMsMax });
    if (status !== 0) throw new Error(`expected rabbitmqctl ${args.join(" ")} to be done, found\n${stderr}`);
  };
  return { port, securePort, control, [Symbol.asyncDispose]: stop };
}
