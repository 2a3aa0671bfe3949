import { failureClasses } from "../../core/failure-class.ts";
import { bulkheadLimits, callRetryLimits, callTimeoutLimits, circuitLimits } from "../../core/policy-limits.ts";
import type { LimitPolicy } from "../../core/limits.ts";
import {
  type BulkheadPolicy,
  type CircuitPolicy,
  type ConcurrencyPolicy,
  type Jitter,
  defaultBulkheadPolicy,
  defaultCircuitPolicy,
  whenFullChoices,
} from "../../core/skill.ts";
import { checkFunction, checkNumber, checkKeys, checkName, checkNumbers, checkOneOf, checkRetry, refuse } from "./check-options.ts";
import { checkEstimate, checkLimits } from "./check-limits.ts";
import type { ResourceInfo } from "./define-resource.ts";
import { type GivenSchema, type PayloadSchema, checkSchema } from "./schema.ts";

/** How long each part of a call may take, in milliseconds; each 1 to 600 000. */
export interface CallTimeouts {
  /** Until the connection stands. */
  readonly connectMs: number;
  /** From the request's last byte to the response's headers. */
  readonly headersMs: number;
  /** From the response's headers to the last byte of its body. */
  readonly bodyMs: number;
  /** Between two pieces of the response's body. */
  readonly idleMs: number;
  /** All tries of one call together, their pauses included. */
  readonly totalMs: number;
}

/** What holds of the times of a call where neither the code nor the configuration says otherwise, in milliseconds. */
export const defaultCallTimeouts: CallTimeouts = { connectMs: 2_000, headersMs: 10_000, bodyMs: 30_000, idleMs: 10_000, totalMs: 30_000 };

/** Tries within one call, under one idempotency key, while the run's own time lasts and the worker's retry budget grants them. */
export interface CallRetry {
  /** The first try included; 1 to 10. */
  readonly attemptsMax: number;
  /** Pause before the second try, doubled each time and jittered; 1 to 60 000. */
  readonly baseDelayMs: number;
  /** Upper bound of a pause before jitter, of `decorrelated` with it; a longer `Retry-After` ends the call instead. 1 to 60 000. */
  readonly delayMaxMs: number;
  /** How pauses are spread; see `RetryPolicy`. */
  readonly jitter: Jitter;
}

/** What holds of the tries within one call where neither the code nor the configuration says otherwise; times in milliseconds. */
export const defaultCallRetry: CallRetry = { attemptsMax: 3, baseDelayMs: 100, delayMaxMs: 2_000, jitter: "equal" };

/** Largest response body, in bytes, unless the dependency says otherwise. */
export const defaultResponseBytesMax: number = 4 * 1024 * 1024;

/** What a request function gets about the call it makes. */
export interface CallInfo extends ResourceInfo {
  /**
   * Stable over all retries of this call, also those of a later execution: pass it on. Only a query's calls have new keys in each
   * execution, because they must see how things are then.
   */
  readonly idempotencyKey: string;
  /** Aborted when the call's or the run's time is over, or the run must stop. */
  readonly signal: AbortSignal;
  readonly eventId: string;
  /** The step that calls; undefined outside of steps. */
  readonly step: string | undefined;
  /** The claim's number: a callee that remembers the highest can refuse a worker that lost its claim. */
  readonly epoch: number;
  readonly traceId: string;
  /** The same for servers that know W3C Trace Context, with the id of this very try: pass it on as the header `traceparent`. Its flag says whether this try is kept as a span. */
  readonly traceparent: string;
  /** 1 for the first try of this call. */
  readonly attempt: number;
  /**
   * Throws when the request must not go out any more: another worker has the run, or the time is over. HTTP calls ask as they are
   * written to their connection; a function that lets requests wait asks just before it sends one, because a process that was
   * suspended meanwhile learns of nothing else first.
   */
  readonly checkMayAct: () => void;
}

/**
 * Makes one try of a call. It may throw `PermanentError` or `TransientError`; anything else it throws goes by its code
 * (`core/failure-class.ts`); without a known one it counts as transient with unknown outcome.
 */
export type RequestFunction<Request, Response> = (request: Request, info: CallInfo) => Promise<Response>;

/** A request to an HTTP dependency. */
export interface HttpRequest<Body = unknown> {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query below the dependency's base URL; begins with `/`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON, unless it is bytes or a string. */
  readonly body?: Body;
}

/** A response with a status from 200 to 299; any other is thrown. */
export interface HttpResponse<Body = unknown> {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Parsed if it is JSON, text otherwise; undefined when empty. */
  readonly body: Body;
}

/** What requests and answers of a dependency have to be; of one over HTTP their bodies, where there are some. */
export interface CallSchemas<Answered = unknown> {
  readonly request: PayloadSchema<unknown> | undefined;
  readonly response: GivenSchema<Answered, unknown> | undefined;
  readonly of: "bodies" | "values";
}

/** What kind of generative model a dependency is, for who looks at its calls. */
export interface GenerativeAi {
  /** Whose interface it speaks, by OpenTelemetry's names: `openai`, `azure.ai.openai`, `anthropic` … */
  readonly provider: string;
  readonly operation: (typeof generativeOperations)[number];
  /** What a million tokens cost, in whatever currency all prices of the worker are in; undefined where nobody says. */
  readonly price: ModelPrice | undefined;
}

export interface ModelPrice {
  readonly inputPerMillion: number;
  readonly outputPerMillion: number;
}

export const generativeOperations = ["chat", "text_completion", "embeddings"] as const;

/**
 * Something outside that a skill calls. Made by `defineDependency`. `Answered` is what the other side answers, and `Response` what the schema of answers makes of
 * it: the same, unless that fills in or converts.
 */
export interface Dependency<Request = never, Response = unknown, Answered = unknown> {
  readonly kind: "holdfast.dependency";
  readonly name: string;
  readonly bulkhead: BulkheadPolicy;
  readonly circuit: CircuitPolicy;
  readonly timeouts: CallTimeouts;
  readonly retry: CallRetry;
  readonly limits: readonly LimitPolicy[];
  readonly concurrency: ConcurrencyPolicy | undefined;
  /** Tokens that a call is expected to use; undefined where runs of the skill so far say it. */
  readonly estimatedTokens: number | ((request: never) => number) | undefined;
  /** Reads from a response how many tokens it used; undefined where the estimate stands. */
  readonly tokensOf: ((response: never) => number) | undefined;
  /** Undefined where it is none. */
  readonly generativeAi: GenerativeAi | undefined;
  /** Undefined where nothing is checked. */
  readonly schemas: CallSchemas<Answered> | undefined;
  /** Of an HTTP dependency; the configuration may give or replace it. */
  readonly baseUrl: string | undefined;
  /** Largest response body of an HTTP dependency, in bytes. */
  readonly responseBytesMax: number;
  /** Undefined for an HTTP dependency. */
  readonly request: RequestFunction<Request, Response> | undefined;
}

/** An HTTP dependency. */
export type HttpDependency = Dependency<HttpRequest, HttpResponse>;

/** What `defineDependency` takes of every dependency. The configuration, `dependencies.NAME`, goes before it. */
export interface DependencyOptions {
  /** 1 to 64 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter; unique in the worker. */
  readonly name: string;
  /** Default `{ concurrentMax: 32, queueMax: 64, waitMaxMs: 5 000, whenFull: "postpone" }`. */
  readonly bulkhead?: Partial<BulkheadPolicy>;
  /**
   * Default `{ mode: "rate", failureThreshold: 10, windowCalls: 20, callsMin: 0, slowCallMs: 0 (never), counts: all but permanent, poison and
   * cancelled, resetTimeoutMs: 10 000, resetFactor: 2, resetTimeoutMaxMs: 60 000, halfOpenMax: 2, probesToClose: 1 }`.
   */
  readonly circuit?: Partial<CircuitPolicy>;
  /**
   * Default `{ connectMs: 2 000, headersMs: 10 000, bodyMs: 30 000, idleMs: 10 000, totalMs: 30 000 }`, none longer than `totalMs`, nor `idleMs`
   * than `bodyMs`. A `totalMs` that is not the default must be shorter than the time-out of each skill that uses the dependency.
   */
  readonly timeouts?: Partial<CallTimeouts>;
  /** Default `{ attemptsMax: 3, baseDelayMs: 100, delayMaxMs: 2 000, jitter: "equal" }`. */
  readonly retry?: Partial<CallRetry>;
  /**
   * It is a generative model: traces tell of its calls by the conventions for these, with model, limits and tokens as far as request and response have them where
   * most have them (`model`, `max_tokens`, `temperature`; `usage`, `choices`), and nothing of what is asked and answered. `operation` is `chat` by default.
   * Metrics count the tokens of `usage`, and what they cost where `price` says what a million of them do.
   */
  readonly generativeAi?: { readonly provider: string; readonly operation?: GenerativeAi["operation"]; readonly price?: ModelPrice };
  /** Requests and tokens a minute, of all or by tenant, project or skill; one limit for each of these. Default: none. */
  readonly limits?: readonly LimitPolicy[];
  /** `{ mode: "adaptive", min, max }`: how many runs use it at once is found from how long its calls take. Default: the bulkhead's `concurrentMax`. */
  readonly concurrency?: ConcurrencyPolicy;
}

/** For a dependency that limits tokens; what a single call says stands above it. */
interface TokenOptions<Request, Response> {
  /** What a call is expected to use, or what tells it from the request. Default: what runs of the skill have used so far. */
  readonly estimatedTokens?: number | ((request: NoInfer<Request>) => number);
  /** Reads from a response what it used. Anything but a number of 0 or more, and an error, leaves the estimate as it is. */
  readonly tokensOf?: (response: NoInfer<Response>) => number;
}

/** What `defineDependency` takes of a dependency over HTTP. */
export interface HttpDependencyOptions<RequestBody = unknown, ResponseBody = unknown, AnsweredBody = unknown>
  extends DependencyOptions, TokenOptions<HttpRequest<RequestBody>, HttpResponse<ResponseBody>> {
  /**
   * What bodies are: any Standard Schema validator, or a JSON Schema. A request that is something else is not sent (`REQUEST_INVALID`), an answer that is fails the call
   * (`RESPONSE_INVALID`), and types come from there. Default: anything.
   */
  readonly schemas?: { readonly request?: GivenSchema<RequestBody, unknown>; readonly response?: GivenSchema<AnsweredBody, ResponseBody> };
  /** `http:` or `https:`; the configuration may give or replace it. */
  readonly baseUrl?: string;
  /** 1 to 1 GiB; default 4 MiB. */
  readonly responseBytesMax?: number;
  readonly request?: undefined;
}

/** What `defineDependency` takes of a dependency that is called by a function. */
export interface CustomDependencyOptions<Request, Response, Asked = Request, Answered = Response> extends DependencyOptions, TokenOptions<Asked, Response> {
  /** What requests and answers are; see `HttpDependencyOptions`. */
  readonly schemas?: { readonly request?: GivenSchema<Asked, Request>; readonly response?: GivenSchema<Answered, Response> };
  /** Makes the call instead of HTTP. It is given what the schema has made of the request, and gives what that of answers takes. */
  readonly request: RequestFunction<Request, Answered>;
}

const timeoutNesting = [
  ["connectMs", "totalMs"],
  ["headersMs", "totalMs"],
  ["bodyMs", "totalMs"],
  ["idleMs", "bodyMs"],
] as const;
const knownKeys = [
  "name",
  "bulkhead",
  "circuit",
  "timeouts",
  "retry",
  "baseUrl",
  "responseBytesMax",
  "request",
  "limits",
  "estimatedTokens",
  "tokensOf",
  "concurrency",
  "generativeAi",
  "schemas",
];

/** Without what may be a secret: credentials before the host, and what follows the path. */
function shownUrl(value: unknown): unknown {
  return typeof value === "string" ? value.replace(/^([^/?#]*:)?\/\/[^?#]*@/, "$1//…@").replace(/[?#].*$/s, "?…") : value;
}

/** Refuses anything but an absolute http(s) URL without credentials, query or fragment; drops a slash at its end. */
export function checkBaseUrl(owner: string, value: unknown): string {
  const url = typeof value === "string" ? URL.parse(value) : null;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) refuse(owner, "an absolute http: or https: URL", shownUrl(value));
  if (url.username !== "" || url.password !== "") refuse(owner, "a URL without credentials (send them in a header)", `${url.protocol}//…@${url.host}`);
  if (url.search !== "" || url.hash !== "") refuse(owner, "a URL without query or fragment", shownUrl(value));
  return url.href.replace(/\/$/, "");
}

function checkTimeouts(owner: string, given: unknown): CallTimeouts {
  const timeouts = checkNumbers(owner, given, defaultCallTimeouts, callTimeoutLimits);
  return fitTimeouts(owner, timeouts, given ?? {});
}

/** An inner time-out ends before the one around it: refused where it was given, shortened where it was not. */
export function fitTimeouts(owner: string, timeouts: CallTimeouts, given: { readonly [key in keyof CallTimeouts]?: number | undefined }): CallTimeouts {
  const fitted = { ...timeouts };
  for (const [inner, outer] of timeoutNesting) {
    if (fitted[inner] <= fitted[outer]) continue;
    if (given[inner] !== undefined) refuse(owner, `${inner} to be at most ${outer} (${fitted[outer]})`, fitted[inner]);
    fitted[inner] = fitted[outer];
  }
  return fitted;
}

function checkBulkhead(owner: string, given: unknown): BulkheadPolicy {
  if (given === undefined) return defaultBulkheadPolicy;
  checkKeys(owner, given, [...Object.keys(bulkheadLimits), "whenFull"]);
  const { whenFull = defaultBulkheadPolicy.whenFull, ...numbers } = given;
  return { ...checkNumbers(owner, numbers, defaultBulkheadPolicy, bulkheadLimits), whenFull: checkOneOf(`${owner}.whenFull`, whenFull, whenFullChoices) };
}

function checkCircuit(owner: string, given: unknown): CircuitPolicy {
  if (given === undefined) return defaultCircuitPolicy;
  checkKeys(owner, given, ["mode", "counts", ...Object.keys(circuitLimits)]);
  const { mode = defaultCircuitPolicy.mode, counts = defaultCircuitPolicy.counts, ...numbers } = given;
  if (!Array.isArray(counts)) refuse(`${owner}.counts`, `a list of ${failureClasses.join(", ")}`, counts);
  const circuit: CircuitPolicy = {
    ...checkNumbers(owner, numbers, defaultCircuitPolicy, circuitLimits),
    mode: checkOneOf(`${owner}.mode`, mode, ["rate", "consecutive"]),
    counts: counts.map((one: unknown) => checkOneOf(`${owner}.counts`, one, failureClasses)),
  };
  checkCircuitFits(owner, circuit);
  return circuit;
}

/** Refuses a circuit that could never open. */
export function checkCircuitFits(owner: string, { mode, failureThreshold, windowCalls, callsMin }: CircuitPolicy): void {
  if (mode === "consecutive") return;
  const window = windowCalls === 0 ? failureThreshold * 2 : windowCalls;
  if (window < failureThreshold) refuse(`${owner}.windowCalls`, `at least failureThreshold (${failureThreshold})`, windowCalls);
  if (callsMin > window) refuse(`${owner}.callsMin`, `at most windowCalls (${window})`, callsMin);
}

function checkConcurrency(owner: string, given: unknown): ConcurrencyPolicy | undefined {
  if (given === undefined) return undefined;
  checkKeys(owner, given, ["mode", "min", "max"]);
  const mode = checkOneOf(`${owner}.mode`, given["mode"], ["adaptive"]);
  const min = checkNumber(`${owner}.min`, given["min"], bulkheadLimits.concurrentMax);
  return { mode, min, max: checkNumber(`${owner}.max`, given["max"], { ...bulkheadLimits.concurrentMax, min }) };
}

function checkGenerativeAi(owner: string, given: unknown): GenerativeAi | undefined {
  if (given === undefined) return undefined;
  checkKeys(owner, given, ["provider", "operation", "price"]);
  const { provider, operation = "chat", price } = given;
  if (typeof provider !== "string" || !/^[a-z][a-z0-9_.-]{0,63}$/.test(provider))
    refuse(`${owner}.provider`, "a name such as openai, of at most 64 characters of a-z 0-9 . _ -", provider);
  return { provider, operation: checkOneOf(`${owner}.operation`, operation, generativeOperations), price: checkPrice(`${owner}.price`, price) };
}

const priceMax = 1_000_000;

function checkPrice(owner: string, given: unknown): ModelPrice | undefined {
  if (given === undefined) return undefined;
  checkKeys(owner, given, ["inputPerMillion", "outputPerMillion"]);
  const priceOf = (name: keyof ModelPrice): number => {
    const price = given[name];
    if (typeof price === "number" && price >= 0 && price <= priceMax) return price;
    return refuse(`${owner}.${name}`, `a price from 0 to ${priceMax} for a million tokens`, price);
  };
  return { inputPerMillion: priceOf("inputPerMillion"), outputPerMillion: priceOf("outputPerMillion") };
}

function checkSchemas(owner: string, given: unknown, of: CallSchemas["of"]): CallSchemas | undefined {
  if (given === undefined) return undefined;
  checkKeys(owner, given, ["request", "response"]);
  const { request, response } = given;
  if (request !== undefined) checkSchema(`${owner}.request`, request);
  if (response !== undefined) checkSchema(`${owner}.response`, response);
  return { request: request as CallSchemas["request"], response: response as CallSchemas["response"], of };
}

/**
 * Defines something outside that skills call, over HTTP or through a `request` function of its own. Its limits hold for the
 * whole worker: the bulkhead counts runs that use it, wherever they run. Throws `ConfigurationError`.
 */
export function defineDependency<RequestBody = unknown, ResponseBody = unknown, AnsweredBody = ResponseBody>(
  options: HttpDependencyOptions<RequestBody, ResponseBody, AnsweredBody>,
): Dependency<HttpRequest<RequestBody>, HttpResponse<ResponseBody>, HttpResponse<AnsweredBody>>;
export function defineDependency<Request, Answered, Asked = Request, Response = Answered>(
  options: CustomDependencyOptions<Request, Response, Asked, Answered>,
): Dependency<Asked, Response, Answered>;
export function defineDependency<Request, Response>(
  options: HttpDependencyOptions | CustomDependencyOptions<Request, Response>,
): Dependency<Request, Response> | HttpDependency {
  checkKeys("dependency", options, knownKeys);
  const name = checkName("dependency.name", options.name);
  const owner = `dependency '${name}'`;
  if (options.request !== undefined) checkFunction(`${owner}.request`, options.request);
  const http = options as HttpDependencyOptions;
  if (options.request !== undefined && (http.baseUrl !== undefined || http.responseBytesMax !== undefined)) {
    refuse(owner, "either a request function or baseUrl and responseBytesMax", "both");
  }
  if (options.tokensOf !== undefined) checkFunction(`${owner}.tokensOf`, options.tokensOf);
  const timeouts = checkTimeouts(`${owner}.timeouts`, options.timeouts);
  return Object.freeze({
    kind: "holdfast.dependency",
    name,
    bulkhead: checkBulkhead(`${owner}.bulkhead`, options.bulkhead),
    circuit: checkCircuit(`${owner}.circuit`, options.circuit),
    timeouts,
    retry: checkRetry(`${owner}.retry`, options.retry, defaultCallRetry, callRetryLimits),
    limits: checkLimits(`${owner}.limits`, options.limits),
    estimatedTokens: checkEstimate(`${owner}.estimatedTokens`, options.estimatedTokens),
    tokensOf: options.tokensOf,
    generativeAi: checkGenerativeAi(`${owner}.generativeAi`, options.generativeAi),
    concurrency: checkConcurrency(`${owner}.concurrency`, options.concurrency),
    schemas: checkSchemas(`${owner}.schemas`, options.schemas, options.request === undefined ? "bodies" : "values"),
    baseUrl: http.baseUrl === undefined ? undefined : checkBaseUrl(`${owner}.baseUrl`, http.baseUrl),
    responseBytesMax:
      http.responseBytesMax === undefined
        ? defaultResponseBytesMax
        : checkNumber(`${owner}.responseBytesMax`, http.responseBytesMax, { min: 1, max: 1024 ** 3 }),
    request: options.request,
  });
}

export function isDependency(value: unknown): value is Dependency {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "holdfast.dependency";
}
