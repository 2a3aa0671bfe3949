/**
 * Agents over streamable HTTP, each request by itself: nothing is kept between them, so that any of several servers may answer. Where
 * the admin server asks for tokens this one does, too: it is a door to the same resource, for the same audience (RFC 9728 tells
 * agents which issuer that is), and gives the token on to the API of that resource alone.
 */
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { AdminAuthSettings } from "../../core/config/admin.ts";
import { messageOf } from "../../core/errors.ts";
import { type Authenticator, openToAll, TokenAuthenticator } from "../authenticator.ts";
import { refuseOrigin } from "../origin.ts";
import { Problem } from "../problem.ts";
import { type AgentServerOptions, agentServer } from "./server.ts";

export interface AgentDoorOptions extends Omit<AgentServerOptions, "token"> {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** As the admin server has it. */
  readonly auth: AdminAuthSettings | undefined;
}

export interface AgentDoor {
  /** Where agents connect. */
  readonly url: string;
  stop(): Promise<void>;
}

const path = "/mcp";
const metadataPath = "/.well-known/oauth-protected-resource";
const bodyBytesMax = 64 * 1024;

export async function openAgentDoor(options: AgentDoorOptions): Promise<AgentDoor> {
  const { auth, host, port } = options;
  const authenticator: Authenticator = auth === undefined ? openToAll : new TokenAuthenticator(auth);
  const server = fastify({ logger: false, bodyLimit: bodyBytesMax, forceCloseConnections: true });
  server.addHook("onRequest", (request, reply, done) => {
    void reply.headers({ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store" });
    done(refuseOrigin(request, auth !== undefined));
  });
  server.setErrorHandler((error, request, reply) => refuse(reply, error, request));
  server.setNotFoundHandler((request, reply) => refuse(reply, new Problem("not-found", `expected ${path}, found ${request.url.slice(0, 200)}`), request));
  if (auth !== undefined) serveMetadata(server, auth);
  server.post(path, async (request, reply) => {
    await authenticator.callerOf(request.headers.authorization);
    await answer(options, request, reply);
  });
  // Nothing is ever sent to an agent that has not asked.
  server.route({ method: ["GET", "DELETE"], url: path, handler: (_request, reply) => reply.code(405).header("allow", "POST").send() });
  return { url: `${await server.listen({ host, port })}${path}`, stop: () => server.close() };
}

async function answer(options: AgentDoorOptions, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const token = request.headers.authorization?.replace(/^Bearer /i, "");
  const server = agentServer({ ...options, token: () => token });
  const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true });
  reply.raw.once("close", () => void server.close());
  await server.connect(transport);
  reply.hijack();
  await transport.handleRequest(request.raw, reply.raw, request.body);
}

function serveMetadata(server: FastifyInstance, { audience, issuer }: AdminAuthSettings): void {
  const metadata = { resource: audience, authorization_servers: [issuer], bearer_methods_supported: ["header"], resource_name: "Holdfast" };
  for (const place of [metadataPath, `${metadataPath}${path}`]) server.get(place, (_request, reply) => reply.send(metadata));
}

function refuse(reply: FastifyReply, error: unknown, { protocol, host }: FastifyRequest): FastifyReply {
  const problem = error instanceof Problem ? error : new Problem("bad-request", messageOf(error, 200));
  if (problem.status === 401) {
    const why = problem.kind === "bad-token" ? 'error="invalid_token", ' : "";
    void reply.header("www-authenticate", `Bearer ${why}resource_metadata="${protocol}://${host}${metadataPath}${path}"`);
  }
  return reply.code(problem.status).type("application/problem+json").send(JSON.stringify(problem.body()));
}
