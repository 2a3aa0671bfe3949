// A RabbitMQ of a test's own: its node name, ports and folders collide with nobody's, and it is gone with its folder.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const serverScript = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const epmdCommand = "/usr/bin/epmd";
const startMsMax = 90_000;
const stopMsMax = 20_000;
const attemptEveryMs = 200;

export interface RabbitMq extends AsyncDisposable {
  readonly port: number;
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
export async function startRabbitMq(): Promise<RabbitMq> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-rabbitmq-"));
  const [port = 0, distributionPort = 0, epmdPort = 0] = await freePorts(3);
  await writeFile(join(folder, "enabled_plugins"), "[rabbitmq_amqp1_0].\n");
  await writeFile(join(folder, "rabbitmq.conf"), `listeners.tcp.1 = 127.0.0.1:${port}\nlog.file.level = warning\n`);
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
  return { port, [Symbol.asyncDispose]: stop };
}
