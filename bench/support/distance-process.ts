// TCP relays that hold every chunk for as long as it would travel; in a process of their own, so that they cost those that are measured nothing but the way.
import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { serve } from "./serve.ts";

/** How far away what is behind a relay is, each way. */
interface Way {
  delayMs: number;
}

const servers: Server[] = [];
const ways = new Map<number, Way>();

/** Passes on what comes, each chunk later by what the way takes when it sets out, in order. */
function travel(from: Socket, to: Socket, way: Way): void {
  const onTheWay: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
  let timer: NodeJS.Timeout | undefined;
  const arrive = (): void => {
    timer = undefined;
    const nowMs = performance.now();
    while (onTheWay[0] !== undefined && onTheWay[0].dueMs <= nowMs + 0.5) to.write(onTheWay.shift()!.chunk);
    arm();
  };
  const arm = (): void => {
    const next = onTheWay[0];
    if (next !== undefined) timer ??= setTimeout(arrive, Math.max(0, next.dueMs - performance.now()));
  };
  from.on("data", (chunk: Buffer) => {
    if (way.delayMs === 0 && onTheWay.length === 0) return void to.write(chunk);
    onTheWay.push({ chunk, dueMs: performance.now() + way.delayMs });
    arm();
  });
  from.on("error", () => from.destroy());
  from.on("close", () => {
    clearTimeout(timer);
    to.destroy();
  });
}

const calls = {
  /** Opens a relay to a port of this machine; returns its own. */
  async open(targetPort: number, delayMs: number): Promise<number> {
    const way = { delayMs };
    const server = createServer({ noDelay: true }, (client) => {
      const target = connect({ port: targetPort, host: "127.0.0.1", noDelay: true });
      travel(client, target, way);
      travel(target, client, way);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    servers.push(server);
    const { port } = server.address() as AddressInfo;
    ways.set(port, way);
    return port;
  },
  /** From now on, what is behind the relay at `port` is so far away. */
  move(port: number, delayMs: number): void {
    const way = ways.get(port);
    if (way === undefined) throw new Error(`expected the port of a relay, one of ${[...ways.keys()].join(", ")}; found ${port}`);
    way.delayMs = delayMs;
  },
};
export type DistanceCalls = typeof calls;

serve(calls, () => servers.forEach((server) => server.close()));
