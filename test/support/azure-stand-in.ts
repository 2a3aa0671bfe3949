/** A stand-in for services of Azure that are spoken to over HTTPS: it asks for a token, and answers as it is told. */
import { createServer, type Server } from "node:https";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { makeCertificate } from "#load/broker/security/certificate.ts";

export interface StandInAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface AzureStandIn {
  readonly url: string;
  /** Its certificate, as PEM. */
  readonly ca: string;
  /** Each as METHOD and path, of those with a token. */
  readonly requests: readonly string[];
  /** Of the identity. */
  readonly credential: { getToken(): Promise<{ readonly token: string; readonly expiresOnTimestamp: number }> };
}

const token = "a-token-of-the-identity";

/** Ends with the test. `answer`: what the service says to whom has a token. */
export async function startAzureStandIn(t: TestContext, answer: (request: IncomingMessage, url: URL) => StandInAnswer): Promise<AzureStandIn> {
  const { cert, key } = await makeCertificate("127.0.0.1");
  const requests: string[] = [];
  let origin = "";
  const server: Server = createServer({ cert, key }, (request, response) => {
    const url = new URL(request.url ?? "/", origin);
    const isKnown = request.headers.authorization === `Bearer ${token}`;
    if (isKnown) requests.push(`${request.method} ${url.pathname}`);
    const challenge = { "www-authenticate": `Bearer authorization="${origin}/tenant", resource="https://vault.azure.net"` };
    const { status = 200, headers = {}, body } = isKnown ? answer(request, url) : { status: 401, headers: challenge };
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_600_000 }) };
  return { url: origin, ca: cert, requests, credential };
}
