/**
 * The admin server: probes, metrics, the API as openapi.json describes it, and the live page. It listens on loopback alone unless callers
 * show tokens; a page of elsewhere, or a name that was made to lead here, gets nothing.
 */
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type AdminRole, type AdminSettings, adminRoles } from "../core/config/admin.ts";
import { loadPage } from "./assets.ts";
import type { Audit } from "./audit.ts";
import type { Caller } from "./authenticator.ts";
import { documentText, type Route, routesOf } from "./document.ts";
import { doorOptions, Gate, problemOf } from "./gate.ts";
import type { Call, Changed, Operation, Operations } from "./operations.ts";
import { listenAt } from "./listen.ts";
import { refuseOrigin } from "./origin.ts";
import { Pace } from "./pace.ts";
import { Problem } from "./problem.ts";
import type { Health } from "./probes.ts";

export interface AdminServerOptions {
  readonly settings: AdminSettings;
  readonly operations: Operations;
  readonly audit: Audit;
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
  /** Hears how long each answer took. */
  answered(operation: string, durationMs: number): void;
  readonly live: () => Health;
  readonly ready: () => Health;
  readonly startup: () => Health;
  /** Hears what failed while a call was answered, which its caller is told no more of than that. */
  failed(error: unknown, operation: string): void;
  readonly monotonicMs: () => number;
  /** Wall clock. */
  readonly nowMs: () => number;
}

/** So many are let through for one change. */
const dryRunsAChange = 10;
/** Of one caller; a page looks at dead letters each five seconds, and each second while a replay moves them. */
const looksThroughPerMinute = 120;
const apiPrefix = "/api/v1";

export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #gate: Gate;
  readonly #changes: Pace;
  /** They change nothing, and look at as much. */
  readonly #dryRuns: Pace;
  readonly #looks: Pace;
  /** Calls that are refused for their number stand in the audit now and then: all of them would take the place of everybody's changes. */
  readonly #toldTooMany: Pace;
  readonly #server: FastifyInstance;
  /** Their names, by method and address as they are served. */
  readonly #operationsByUrl = new Map<string, string>();

  /** Throws when the document and the operations differ. */
  constructor(options: AdminServerOptions) {
    const { settings, monotonicMs } = options;
    this.#options = options;
    this.#gate = new Gate(settings.auth, monotonicMs);
    this.#changes = new Pace(settings.changesPerMinute, monotonicMs);
    this.#dryRuns = new Pace(dryRunsAChange * settings.changesPerMinute, monotonicMs);
    this.#looks = new Pace(looksThroughPerMinute, monotonicMs);
    this.#toldTooMany = new Pace(1, monotonicMs);
    this.#server = fastify({
      ...doorOptions(),
      routerOptions: { maxParamLength: 512 },
      // An address that is none, or too long, is refused before any route.
      frameworkErrors: (error, _request, reply) => void this.#refuse(reply, problemOf(error), ""),
    });
    this.#prepare();
    this.#serveProbes();
    this.#serveApi();
    this.#servePage();
  }

  /** Resolves with the address. */
  async start(): Promise<string> {
    return listenAt(this.#server, this.#options.settings, "admin.host and admin.port");
  }

  async stop(): Promise<void> {
    await this.#server.close();
  }

  #prepare(): void {
    const server = this.#server;
    server.addHook("onRequest", (request, reply, done) => {
      void reply.headers({ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store" });
      done(refuseOrigin(request, this.#options.settings.auth !== undefined));
    });
    server.addHook("onResponse", (request, reply, done) => {
      const operation = this.#operationsByUrl.get(`${request.method} ${request.routeOptions.url ?? ""}`);
      if (operation !== undefined) this.#options.answered(operation, reply.elapsedTime);
      done();
    });
    server.setErrorHandler((error, request, reply) => this.#refuse(reply, problemOf(error), request.routeOptions.url ?? ""));
    server.setNotFoundHandler((request, reply) =>
      this.#refuse(reply, new Problem("not-found", `expected a path that openapi.json describes, found ${request.method} ${request.url.slice(0, 200)}`), ""),
    );
  }

  #serveProbes(): void {
    const { metrics, settings } = this.#options;
    const probes = [
      ["/livez", () => this.#options.live()],
      ["/readyz", () => this.#options.ready()],
      ["/startupz", () => this.#options.startup()],
    ] as const;
    for (const [url, look] of probes) {
      this.#operationsByUrl.set(`GET ${url}`, url.slice(1));
      this.#server.get(url, (_request, reply) => {
        const { isWell, why } = look();
        return reply.code(isWell ? 200 : 503).send({ status: isWell ? "ok" : "failing", why });
      });
    }
    this.#operationsByUrl.set("GET /metrics", "metrics");
    this.#server.get("/metrics", async (request, reply) => {
      if (settings.auth?.metricsAreOpen !== true) refuseTenants(await this.#callerOf(request, "viewer"), "/metrics");
      return reply.type(metrics.contentType).send(await metrics.text());
    });
  }

  #serveApi(): void {
    const { operations } = this.#options;
    const unserved = new Set(operations.keys());
    this.#server.get(`${apiPrefix}/openapi.json`, (_request, reply) => reply.type("application/json").send(documentText));
    for (const route of routesOf(documentText)) {
      const operation = operations.get(route.operationId);
      if (operation === undefined) throw new TypeError(`expected an operation '${route.operationId}', which openapi.json describes`);
      unserved.delete(route.operationId);
      this.#operationsByUrl.set(`${route.method} ${apiPrefix}${route.url}`, route.operationId);
      this.#server.route({
        method: route.method,
        url: `${apiPrefix}${route.url}`,
        handler: (request, reply) => this.#answer(route, operation, request, reply),
      });
    }
    if (unserved.size > 0) throw new TypeError(`expected openapi.json to describe ${[...unserved].join(", ")}`);
  }

  #servePage(): void {
    const { assets, contentSecurityPolicy } = loadPage();
    for (const [path, { type, body }] of assets) {
      this.#server.get(path, (_request, reply) =>
        reply.headers({ "content-security-policy": contentSecurityPolicy, "cross-origin-opener-policy": "same-origin" }).type(type).send(body),
      );
    }
  }

  async #answer(route: Route, operation: Operation, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const caller = await this.#callerOf(request, operation.kind === "read" ? route.role : undefined);
    const call = callOf(request, caller);
    const {
      status = 200,
      body,
      etag,
      location,
    } = operation.kind === "read" ? await this.#read(route, operation, call) : await this.#change(route, operation, call);
    if (etag !== undefined) void reply.header("etag", etag);
    if (location !== undefined) void reply.header("location", location);
    return reply.code(status).type("application/json").send(JSON.stringify(body, plainValue));
  }

  #read(route: Route, operation: Extract<Operation, { kind: "read" }>, call: Call): ReturnType<typeof operation.run> {
    if (!route.isForTenants) refuseTenants(call.caller, route.operationId);
    route.checkInputs(call.params, call.query);
    const { caller } = call;
    if (route.looksThrough === true || (route.looksThrough === "for-tenants" && caller.tenants !== undefined)) this.#looks.take(caller.who);
    return operation.run(call);
  }

  /** What is refused is in the audit, too: it was tried. Of what is refused for its number, one a minute of each caller. */
  async #change(route: Route, operation: Extract<Operation, { kind: "change" }>, call: Call): Promise<Changed> {
    const { audit, nowMs } = this.#options;
    const { who, role } = call.caller;
    const reason = typeof call.body["reason"] === "string" ? call.body["reason"].slice(0, 200) : "";
    const entry = { at: new Date(nowMs()).toISOString(), who, role, operation: route.operationId, reason };
    const isDry = operation.isDry?.(call) === true;
    try {
      (isDry ? this.#dryRuns : this.#changes).take(who);
      refuseRole(call.caller, route.role);
      if (!route.isForTenants) refuseTenants(call.caller, route.operationId);
      route.checkInputs(call.params, call.query);
      route.checkBody(call.body);
      const changed = await operation.run(call);
      audit.add({ ...entry, target: changed.target, result: isDry ? "dry-run" : "done", before: changed.before, after: changed.after });
      return changed;
    } catch (error) {
      const result = problemOf(error).kind;
      const refused = { ...entry, target: Object.values(call.params).join(" "), result, after: call.body };
      if (result !== "too-many" || this.#toldTooMany.takes(who)) audit.add(refused);
      else audit.count(refused);
      throw error;
    }
  }

  async #callerOf(request: FastifyRequest, role: AdminRole | undefined): Promise<Caller> {
    const caller = await this.#gate.callerOf(request);
    if (role !== undefined) refuseRole(caller, role);
    return caller;
  }

  #refuse(reply: FastifyReply, problem: Problem, operation: string): FastifyReply {
    if (problem.kind === "failed") this.#options.failed(problem.cause, operation);
    if (problem.kind === "no-token") void reply.header("www-authenticate", "Bearer");
    if (problem.kind === "bad-token") void reply.header("www-authenticate", 'Bearer error="invalid_token"');
    if (problem.retryAfter !== undefined) void reply.header("retry-after", String(problem.retryAfter));
    return reply.code(problem.status).type("application/problem+json").send(JSON.stringify(problem.body()));
  }
}

function refuseRole({ who, role }: Caller, needed: AdminRole): void {
  if (adminRoles.indexOf(role) < adminRoles.indexOf(needed))
    throw new Problem("forbidden", `expected the role '${needed}' at least, found that '${who}' has '${role}'`);
}

/** What is about the worker, or about everybody's events, is not theirs. */
function refuseTenants({ who, tenants }: Caller, what: string): void {
  if (tenants !== undefined)
    throw new Problem(
      "forbidden",
      `expected a caller for all tenants, as ${what} is about everybody's events, found that '${who}' acts for ${[...tenants].join(", ")} alone`,
    );
}

function callOf({ params, query, body, headers }: FastifyRequest, caller: Caller): Call {
  const record = (value: unknown): Readonly<Record<string, string>> => Object.assign(Object.create(null) as Record<string, string>, value);
  const isObject = typeof body === "object" && body !== null;
  return { caller, params: record(params), query: record(query), body: (isObject ? body : {}) as Call["body"], ifMatch: headers["if-match"] };
}

/** Sequence numbers are beyond what JSON's numbers hold. */
function plainValue(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
