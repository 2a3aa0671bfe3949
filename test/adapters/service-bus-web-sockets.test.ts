// The way out of networks that let nothing through but WebSockets, or an HTTP proxy.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, type Server, type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { createWebSocketStream, WebSocketServer } from "ws";
import { createServiceBusPublisher } from "#runtime/adapters/service-bus/publisher.ts";
import { createServiceBusTransport } from "#runtime/adapters/service-bus/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { certificate, key } from "../amqp/support/certificate.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { runCommand } from "../support/holdfast-command.ts";
import { Inbox } from "../support/transport-bench.ts";

/** Closes a server with everything that it was handed over: neither tunnels nor upgraded connections are its own any more. */
function closing(server: Server): () => Promise<void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((done) => server.close(() => done()));
  };
}

/** Carries AMQP over WebSockets to the broker; what it tells is where to reach it. */
async function startGateway(t: TestContext, { broker }: BrokerBench): Promise<string> {
  const server = createHttpsServer({ key, cert: certificate });
  const closeServer = closing(server);
  const sockets = new WebSocketServer({
    server,
    path: "/$servicebus/websocket",
    handleProtocols: (offered) => (offered.has("AMQPWSB10") ? "AMQPWSB10" : false),
  });
  sockets.on("connection", (socket) => {
    const stream = createWebSocketStream(socket);
    const target = connect(broker.port, "127.0.0.1");
    stream.pipe(target).pipe(stream);
    stream.on("error", () => target.destroy());
    target.on("error", () => stream.destroy());
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(closeServer);
  return `Endpoint=sb://localhost:${(server.address() as AddressInfo).port};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE`;
}

/** A proxy that only tunnels; tells where to. */
async function startProxy(t: TestContext): Promise<{ readonly url: string; readonly tunnels: string[] }> {
  const tunnels: string[] = [];
  const server = createHttpServer();
  const closeServer = closing(server);
  server.on("connect", (request, client) => {
    tunnels.push(request.url ?? "");
    const [, port] = (request.url ?? "").split(":");
    const target = connect(Number(port), "127.0.0.1", () => {
      client.write("HTTP/1.1 200 OK\r\n\r\n");
      target.pipe(client).pipe(target);
    });
    target.on("error", () => client.destroy());
    client.on("error", () => target.destroy());
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(closeServer);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, tunnels };
}

test("sends, receives and settles over WebSockets", async (t) => {
  const before = getCACertificates("default");
  setDefaultCACertificates([...before, certificate]);
  t.after(() => setDefaultCACertificates(before));
  const bench = await startBench(t, { entities: { queues: ["input"] } });
  const connectionString = await startGateway(t, bench);
  const options = { connectionString, webSockets: true, clock: systemClock };
  const publisher = createServiceBusPublisher(options);
  await publisher.start();
  await publisher.send("input", [{ messageId: "m", body: Buffer.from("over 443"), headers: {} }]);
  await publisher.stop();
  const transport = createServiceBusTransport({ ...options, entity: { queue: "input" } });
  t.after(() => transport.stop());
  await transport.start();
  const inbox = new Inbox(transport);
  inbox.addCredit(1);
  const delivery = await inbox.at(0);
  assert.equal(Buffer.from(delivery.body).toString(), "over 443");
  assert.deepEqual(await transport.settle([{ verb: "complete", delivery }]), ["settled"]);
  await inbox.receiver.stop();
  assert.equal(bench.account("input").totals.completed, 1);
});

test("goes through the proxy that Node was told of", async (t) => {
  const bench = await startBench(t, { entities: { queues: ["input"] } });
  const connectionString = await startGateway(t, bench);
  const { url, tunnels } = await startProxy(t);
  const folder = mkdtempSync(join(tmpdir(), "holdfast-proxy-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const authority = join(folder, "authority.pem");
  writeFileSync(authority, certificate);
  const file = join(folder, "holdfast.config.json");
  const root = resolve(import.meta.dirname, "../..");
  const config = {
    sources: [{ queue: "input" }],
    serviceBus: { connectionString, webSockets: true },
    transport: "sdk",
    plugins: [join(root, "handlers/event-dispatcher")],
    pluginRoots: [join(root, "handlers")],
  };
  writeFileSync(file, JSON.stringify(config));
  const sent = await runCommand(["send", "-c", file, "--event-type", "Tried", "--payload", "{}"], {
    ...process.env,
    NODE_EXTRA_CA_CERTS: authority,
    NODE_USE_ENV_PROXY: "1",
    HTTPS_PROXY: url,
  });
  assert.equal(sent.code, 0, sent.stderr);
  assert.match(connectionString, new RegExp(`//${tunnels[0]};`));
  assert.equal(bench.account("input").totals.accepted, 1);
});
