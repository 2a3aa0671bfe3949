/** Takes what a worker exports and says yes, as a collector that has room: who sends it is measured, not who takes it. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Collector {
  /** For the environment of whoever exports. */
  readonly url: string;
  /** Requests since the beginning. */
  readonly taken: number;
  stop(): Promise<void>;
}

export async function startCollector(): Promise<Collector> {
  let taken = 0;
  const server = createServer((request, response) => {
    request.resume().once("end", () => {
      taken += 1;
      response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get taken() {
      return taken;
    },
    stop: () =>
      new Promise((stopped) => {
        server.close(() => stopped());
        server.closeAllConnections();
      }),
  };
}
