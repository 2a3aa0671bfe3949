// TCP relays that hold every chunk for as long as it would travel; in a process of their own, so that they cost those that are measured nothing but the way.
import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { serve } from "./serve.ts";

const servers: Server[] = [];

/** Passes on what comes, each chunk `delayMs` later, in order. */
function travel(from: Socket, to: Socket, delayMs: number): void {
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
    if (delayMs === 0) return void to.write(chunk);
    onTheWay.push({ chunk, dueMs: performance.now() + delayMs });
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
    const server = createServer({ noDelay: true }, (client) => {
      const target = connect({ port: targetPort, host: "127.0.0.1", noDelay: true });
      travel(client, target, delayMs);
      travel(target, client, delayMs);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    servers.push(server);
    return (server.address() as AddressInfo).port;
  },
};
export type DistanceCalls = typeof calls;

serve(calls, () => servers.forEach((server) => server.close()));
