// What is told of a call of a dependency: each try by itself, under the id that its request carries.
import { type SpanAttributes, spanName } from "../../core/spans.ts";
import { fieldOf } from "../../core/redact.ts";
import type { HttpRequest } from "../author/define-dependency.ts";
import type { SkillError } from "../author/errors.ts";
import { answerAttributes, operationOf, requestAttributes } from "./generative-ai.ts";
import type { PreparedDependency } from "./prepared-skill.ts";
import type { RunPart } from "./run-part.ts";

interface TracedCall {
  readonly request: unknown;
  readonly idempotencyKey: string;
  readonly parent: RunPart | undefined;
}

const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] satisfies readonly HttpRequest["method"][]);

/** What keeps the parts of its run. */
interface Recorder {
  begin(key: string, number: number, parent: RunPart | undefined, what: Pick<RunPart, "name" | "kind">, attributes: SpanAttributes): RunPart;
  traceparentOf(part: RunPart): string;
  end(part: RunPart, error: string | undefined): void;
  /** Something had to be repeated. */
  stumbled(): void;
}

export class CallTrace {
  readonly #recorder: Recorder;
  readonly #dependency: PreparedDependency;
  readonly #call: TracedCall;
  #part: RunPart | undefined;

  constructor(recorder: Recorder, dependency: PreparedDependency, call: TracedCall) {
    this.#recorder = recorder;
    this.#dependency = dependency;
    this.#call = call;
  }

  /** A try begins; returns what its request says of its trace. */
  trying(attempt: number): string {
    const { idempotencyKey, parent } = this.#call;
    if (attempt > 1) this.#recorder.stumbled();
    this.#part = this.#recorder.begin(idempotencyKey, attempt, parent, { name: this.#name(), kind: "client" }, this.#attributes(attempt));
    return this.#recorder.traceparentOf(this.#part);
  }

  /** The try is over. */
  tried(error: SkillError | undefined, response?: unknown): void {
    const part = this.#part;
    if (part === undefined) return;
    const status = error?.status ?? (this.#dependency.server === undefined ? undefined : fieldOf(response, "status"));
    if (typeof status === "number") part.attributes = { ...part.attributes, "http.response.status_code": status };
    if (error === undefined && this.#dependency.generativeAi !== undefined) part.attributes = { ...part.attributes, ...answerAttributes(response) };
    this.#recorder.end(part, error?.code);
  }

  #name(): string {
    const { name, generativeAi, server } = this.#dependency;
    if (generativeAi !== undefined) return operationOf(generativeAi, this.#call.request);
    const method = fieldOf(this.#call.request, "method");
    return spanName(server !== undefined && typeof method === "string" && methods.has(method) ? method : "call", name);
  }

  #attributes(attempt: number): SpanAttributes {
    const { name, server, generativeAi } = this.#dependency;
    const { request } = this.#call;
    const method = fieldOf(request, "method");
    return {
      "holdfast.dependency": name,
      ...(server === undefined ? undefined : { "server.address": server.address, "server.port": server.port }),
      ...(server !== undefined && typeof method === "string" && methods.has(method) ? { "http.request.method": method } : undefined),
      ...(attempt > 1 ? { "http.request.resend_count": attempt - 1 } : undefined),
      ...(generativeAi === undefined ? undefined : requestAttributes(generativeAi, request)),
    };
  }
}
