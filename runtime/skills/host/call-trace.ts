// What is told of a call of a dependency: each try by itself, under the id that its request carries.
import { type SpanAttributes, type SpanDraft, spanName } from "../../core/spans.ts";
import { writeTraceparent } from "../../core/trace-context.ts";
import { fieldOf } from "../../core/redact.ts";
import type { HttpRequest } from "../author/define-dependency.ts";
import type { SkillError } from "../author/errors.ts";
import { answerAttributes, operationOf, requestAttributes } from "./generative-ai.ts";
import type { PreparedDependency } from "./prepared-skill.ts";
import { deriveSpan } from "./run-identity.ts";

interface TracedCall {
  readonly request: unknown;
  readonly idempotencyKey: string;
  readonly parentSpanId: string | undefined;
}

const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] satisfies readonly HttpRequest["method"][]);

/** What keeps the spans of its run. */
interface Recorder {
  readonly traceId: string;
  /** Of the execution. */
  readonly spanId: string;
  readonly isChosen: boolean;
  begin(spanId: string, parentSpanId: string | undefined, what: Pick<SpanDraft, "name" | "kind">, attributes: SpanAttributes): SpanDraft;
  end(span: SpanDraft, error: string | undefined): void;
  /** Something had to be repeated. */
  stumbled(): void;
}

export class CallTrace {
  readonly #recorder: Recorder;
  readonly #dependency: PreparedDependency;
  readonly #call: TracedCall;
  #span: SpanDraft | undefined;

  constructor(recorder: Recorder, dependency: PreparedDependency, call: TracedCall) {
    this.#recorder = recorder;
    this.#dependency = dependency;
    this.#call = call;
  }

  /** A try begins; returns what its request says of its trace. */
  trying(attempt: number): string {
    const { idempotencyKey, parentSpanId } = this.#call;
    // The key is the same in each execution; a span is of one.
    const spanId = deriveSpan(`${this.#recorder.spanId} ${idempotencyKey}`, attempt);
    if (attempt > 1) this.#recorder.stumbled();
    this.#span = this.#recorder.begin(spanId, parentSpanId, { name: this.#name(), kind: "client" }, this.#attributes(attempt));
    return writeTraceparent({ traceId: this.#recorder.traceId, spanId }, this.#recorder.isChosen);
  }

  /** The try is over. */
  tried(error: SkillError | undefined, response?: unknown): void {
    const span = this.#span;
    if (span === undefined) return;
    const status = error?.status ?? (this.#dependency.server === undefined ? undefined : fieldOf(response, "status"));
    if (typeof status === "number") span.attributes = { ...span.attributes, "http.response.status_code": status };
    if (error === undefined && this.#dependency.generativeAi !== undefined) span.attributes = { ...span.attributes, ...answerAttributes(response) };
    this.#recorder.end(span, error?.code);
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
