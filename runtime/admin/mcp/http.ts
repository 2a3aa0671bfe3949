/**
 * Agents over streamable HTTP, each request by itself: nothing is kept between them, so that any of several servers may answer. Where
 * the admin server asks for tokens this one does, too: for the same audience, and gives the token on to that API alone. RFC 9728 tells
 * agents which issuer makes them, for the address that they connect to.
 */
import type { ServerResponse } from "node:http";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { AdminAuthSettings } from "../../core/config/admin.ts";
import { doorOptions, type DoorTimes, Gate, problemOf } from "../gate.ts";
import { listenAt } from "../listen.ts";
import { refuseOrigin } from "../origin.ts";
import { Problem } from "../problem.ts";
import { type AgentServerOptions, agentServer } from "./server.ts";

export interface AgentDoorOptions extends Omit<AgentServerOptions, "token"> {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** As the admin server has it. */
  readonly auth: AdminAuthSettings | undefined;
  /** Where agents connect, as they see it; undefined for where it listens. */
  readonly publicUrl: string | undefined;
  readonly monotonicMs: () => number;
  /** For tests. */
  readonly times?: DoorTimes;
  /** Hears of what failed while a request was answered, which its agent is told no more of than that. */
  failed(error: unknown): void;
}

export interface AgentDoor {
  /** Where agents connect. */
  readonly url: string;
  stop(): Promise<void>;
}

const path = "/mcp";
const metadataPath = "/.well-known/oauth-protected-resource";

export async function openAgentDoor(options: AgentDoorOptions): Promise<AgentDoor> {
  const { auth, host, port, publicUrl, monotonicMs, times } = options;
  const gate = new Gate(auth, monotonicMs);
  let resource = publicUrl ?? "";
  const refuse = (reply: FastifyReply, error: unknown): FastifyReply => {
    const problem = problemOf(error);
    if (problem.kind === "failed") options.failed(problem.cause);
    return refused(reply, problem, metadataUrlOf(resource));
  };
  const server = fastify({ ...doorOptions(times), frameworkErrors: (error, _request, reply) => void refuse(reply, error) });
  server.addHook("onRequest", (request, reply, done) => {
    void reply.headers({ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store" });
    done(refuseOrigin(request, auth !== undefined));
  });
  server.setErrorHandler((error, _request, reply) => refuse(reply, error));
  server.setNotFoundHandler((request, reply) => refuse(reply, new Problem("not-found", `expected ${path}, found ${request.url.slice(0, 200)}`)));
  if (auth !== undefined) serveMetadata(server, auth, () => resource);
  server.post(path, async (request, reply) => {
    await gate.callerOf(request);
    await answer(options, request, reply);
  });
  // Nothing is ever sent to an agent that has not asked.
  server.route({ method: ["GET", "DELETE"], url: path, handler: (_request, reply) => reply.code(405).header("allow", "POST").send() });
  const url = `${await listenAt(server, { host, port }, "--http")}${path}`;
  resource = publicUrl ?? url;
  return { url, stop: () => server.close() };
}

async function answer(options: AgentDoorOptions, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const token = request.headers.authorization?.replace(/^Bearer /i, "");
  const server = agentServer({ ...options, token: () => token });
  const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true });
  reply.raw.once("close", () => void server.close());
  await server.connect(transport);
  reply.hijack();
  await endedInAnyCase(reply.raw, transport.handleRequest(request.raw, reply.raw, request.body), options);
}

/** Nobody else answers a request that was taken over. */
export async function endedInAnyCase(response: ServerResponse, answered: Promise<void>, { failed }: Pick<AgentDoorOptions, "failed">): Promise<void> {
  try {
    await answered;
  } catch (error) {
    failed(error);
    if (response.headersSent) return void response.end();
    response.writeHead(500, { "content-type": "application/problem+json" });
    response.end(JSON.stringify(new Problem("failed", "expected it to be answered, found that it failed").body()));
  }
}

function serveMetadata(server: FastifyInstance, { issuer }: AdminAuthSettings, resource: () => string): void {
  const metadata = (): object => ({
    resource: resource(),
    authorization_servers: [issuer],
    bearer_methods_supported: ["header"],
    resource_name: "Holdfast",
  });
  for (const place of [metadataPath, `${metadataPath}/*`]) server.get(place, (_request, reply) => reply.send(metadata()));
}

/** Where RFC 9728 has it: before the path. */
function metadataUrlOf(resource: string): string {
  const { origin, pathname } = new URL(resource);
  return `${origin}${metadataPath}${pathname === "/" ? "" : pathname}`;
}

function refused(reply: FastifyReply, problem: Problem, metadataUrl: string): FastifyReply {
  if (problem.status === 401) {
    const why = problem.kind === "bad-token" ? 'error="invalid_token", ' : "";
    void reply.header("www-authenticate", `Bearer ${why}resource_metadata="${metadataUrl}"`);
  }
  if (problem.retryAfter !== undefined) void reply.header("retry-after", String(problem.retryAfter));
  return reply.code(problem.status).type("application/problem+json").send(JSON.stringify(problem.body()));
}
