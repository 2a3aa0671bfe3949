// A webhook's receiver: a real HTTP server that keeps what it gets and answers as a test says.
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { TestContext } from "node:test";

export interface HookRequest {
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
  readonly body: string;
}

export interface HttpHook {
  readonly url: string;
  /** Those that were answered with a status below 300. */
  readonly taken: HookRequest[];
  /** All of them. */
  readonly requests: HookRequest[];
  /** Statuses of the next answers; 204 when it is empty. */
  readonly statuses: number[];
  /** Of every answer while it is set. */
  status: number | undefined;
}

export async function startHook(t: TestContext): Promise<HttpHook> {
  const taken: HookRequest[] = [];
  const requests: HookRequest[] = [];
  const statuses: number[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const received = { headers: request.headers, path: request.url ?? "", body: Buffer.concat(chunks).toString("utf8") };
      const status = hook.status ?? statuses.shift() ?? 204;
      requests.push(received);
      if (status < 300) taken.push(received);
      response.writeHead(status, status >= 300 && status < 400 ? { location: "/elsewhere" } : {}).end(status === 204 ? undefined : "said");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("expected a TCP address");
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  const hook: HttpHook = { url: `http://127.0.0.1:${address.port}/hooks/T0KEN`, taken, requests, statuses, status: undefined };
  return hook;
}
