import { crc32 } from "node:zlib";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type Behaviour, calmBehaviour, latencyOf, type Verdict, verdictOn } from "./behaviour.ts";
import { type CallArrival, type Entry, Ledger } from "./ledger.ts";

/** An answer of a stand-in; `body` is JSON text. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** What a stand-in works from. A pure function of it, so that a replay can be answered again without keeping answers. */
export interface Work {
  /** The path's parameter, if the route has one. */
  readonly parameter: string;
  readonly body: Buffer;
  /** When the first call with this key came. */
  readonly firstAtMs: number;
  /** Numbers the effects of this stand-in. */
  readonly number: number;
}

export interface TargetOptions {
  readonly name: string;
  readonly method: "POST" | "PUT";
  /** The one route that is served, with at most one parameter, `:parameter`. */
  readonly route: string;
  /** An answer with a status of 400 or more is a refusal: the call had no effect. */
  readonly answer: (work: Work) => Answer;
}

const bodyBytesMax = 4 * 1024 * 1024;
const heldMax = 50_000;

function errorAnswer(status: number, message: string): Answer {
  return { status, body: JSON.stringify({ error: { message, type: "stand_in", code: status } }) };
}

const refusals = {
  conflict: errorAnswer(422, "this idempotency key was used for a different request"),
  full: errorAnswer(507, "the ledger of this stand-in is full"),
} as const;

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Promises the whole answer, writes half of it, and is gone. */
function breakOff(reply: FastifyReply, { status, body }: Answer): void {
  reply.hijack();
  reply.raw.writeHead(status, { "content-type": "application/json; charset=utf-8", "content-length": Buffer.byteLength(body) });
  reply.raw.write(body.slice(0, body.length >> 1), () => reply.raw.socket?.destroySoon());
}

/** An HTTP server that plays one dependency: it keeps a ledger, honours idempotency keys, and misbehaves as asked. */
export class Target {
  readonly name: string;
  readonly #options: TargetOptions;
  readonly #server: FastifyInstance;
  #ledger = new Ledger();
  #behaviour: Behaviour = calmBehaviour;
  /** Answers that wait for the end of a hang; each lets its call go on. */
  readonly #hung = new Set<() => void>();
  /** Answers that wait for their latency; the same. */
  readonly #delayed = new Set<() => void>();
  #effects = 0;

  constructor(options: TargetOptions) {
    this.name = options.name;
    this.#options = options;
    this.#server = fastify({ logger: false, bodyLimit: bodyBytesMax, forceCloseConnections: true, exposeHeadRoutes: false, keepAliveTimeout: 120_000 });
    // Bodies stay bytes: what a route needs of them, it parses.
    this.#server.removeAllContentTypeParsers();
    this.#server.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
    this.#server.route({ method: options.method, url: options.route, handler: (request, reply) => this.#handle(request, reply) });
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  get behaviour(): Behaviour {
    return this.#behaviour;
  }

  /** Calls that hang now. */
  get hung(): number {
    return this.#hung.size;
  }

  start(): Promise<string> {
    return this.#server.listen({ port: 0, host: "127.0.0.1" });
  }

  /** Answers what hangs, then closes. */
  async stop(): Promise<void> {
    this.behave({ hang: false, latencyMs: 0, jitterMs: 0 });
    for (const release of this.#delayed) release();
    await this.#server.close();
  }

  behave(change: Partial<Behaviour>): void {
    this.#behaviour = { ...this.#behaviour, ...change };
    if (this.#behaviour.hang) return;
    for (const release of this.#hung) release();
  }

  forget(): void {
    this.#ledger = new Ledger();
  }

  #handle(request: FastifyRequest, reply: FastifyReply): void {
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const call: CallArrival = {
      key: headerOf(request, "idempotency-key"),
      run: headerOf(request, "holdfast-run") ?? "",
      step: headerOf(request, "holdfast-step") ?? "",
      epoch: Number(headerOf(request, "holdfast-epoch") ?? 0) >>> 0,
      atMs: Date.now(),
      requestChecksum: crc32(body, crc32(request.url)),
    };
    const entry = this.#ledger.arrive(call);
    if (entry.kind === "booked") this.#serve(call, entry, request, reply, body);
    else this.#answer(reply, refusals[entry.why]);
  }

  #serve(call: CallArrival, entry: Entry, request: FastifyRequest, reply: FastifyReply, body: Buffer): void {
    const key = call.key ?? request.id;
    const verdict = verdictOn(this.#behaviour, key, entry.nth);
    const latencyMs = latencyOf(this.#behaviour, key, entry.nth);
    const parameter = (request.params as { readonly parameter?: string }).parameter ?? "";
    const number = entry.row < 0 ? this.#effects : entry.row;
    const answer = this.#injected(verdict) ?? this.#options.answer({ parameter, body, firstAtMs: entry.firstAtMs, number });
    if (answer.status >= 400) {
      this.#ledger.failure();
      const { retryAfterMs } = this.#behaviour;
      if (retryAfterMs > 0) void reply.header("retry-after", Math.ceil(retryAfterMs / 1_000));
      this.#later(reply, answer, latencyMs);
      return;
    }
    if (!entry.replay) {
      this.#ledger.effect(entry, call);
      this.#effects++;
    }
    if (verdict === "lose-answer") {
      reply.hijack();
      request.raw.socket.destroy();
      return;
    }
    if (verdict === "half-answer") {
      breakOff(reply, answer);
      return;
    }
    if (entry.replay) void reply.header("idempotent-replayed", "true");
    this.#later(reply, answer, latencyMs);
  }

  #injected(verdict: Verdict): Answer | undefined {
    if (verdict === "fail") return errorAnswer(this.#behaviour.failureStatus, "this stand-in was told to fail now and then");
    if (verdict === "fail-for-good") return errorAnswer(this.#behaviour.permanentFailureStatus, "this stand-in was told to refuse this request for good");
    return undefined;
  }

  #later(reply: FastifyReply, answer: Answer, latencyMs: number): void {
    if (this.#behaviour.hang) this.#hold(reply, answer, undefined);
    else if (latencyMs > 0) this.#hold(reply, answer, latencyMs);
    else this.#answer(reply, answer);
  }

  /** Answers after the latency, or when the hang ends; a caller that left is forgotten. */
  #hold(reply: FastifyReply, answer: Answer, latencyMs: number | undefined): void {
    if (this.#hung.size + this.#delayed.size >= heldMax) {
      this.#answer(reply, errorAnswer(503, `this stand-in holds ${heldMax} calls already`));
      return;
    }
    const held = latencyMs === undefined ? this.#hung : this.#delayed;
    const end = (): void => {
      held.delete(release);
      clearTimeout(timer);
    };
    const release = (): void => {
      end();
      if (!reply.raw.destroyed) this.#answer(reply, answer);
    };
    const timer = latencyMs === undefined ? undefined : setTimeout(release, latencyMs);
    held.add(release);
    reply.raw.once("close", end);
  }

  #answer(reply: FastifyReply, answer: Answer): void {
    void reply.code(answer.status).header("content-type", "application/json; charset=utf-8").send(answer.body);
  }
}
