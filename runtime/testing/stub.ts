/** What a dependency answers in a test: a value, what a function makes of the call, one after the other, a fault, late. */
import { ConfigurationError } from "../core/errors.ts";
import { type Dependency, type HttpResponse, isDependency } from "../skills/author/define-dependency.ts";
import { show } from "../skills/author/check-options.ts";

/** One try of a call, as a stub sees it. */
export interface StubCall<Request> {
  readonly request: Request;
  /** The same at every try of this call, of whatever execution. */
  readonly idempotencyKey: string;
  /** Undefined outside of steps. */
  readonly step: string | undefined;
  /** 1 for the first try of this call in its execution. */
  readonly attempt: number;
  /** 1 for the first time that the stub is asked. What it has answered under a key it is not asked again. */
  readonly number: number;
}

/** What a test says of an HTTP answer. A status outside 200 to 299 fails the call, as it does in a worker. */
export interface HttpAnswer<Body = unknown> {
  /** Default 200. */
  readonly status?: number;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  /** As JSON or text would be read; default none. */
  readonly body?: Body;
}

type FaultKind =
  | { readonly kind: "refused" }
  | { readonly kind: "silent" }
  | { readonly kind: "reset"; readonly carriedOut: boolean }
  | { readonly kind: "status"; readonly answer: HttpAnswer }
  | { readonly kind: "thrown"; readonly error: unknown };

/** A call that comes to grief. Made by `fault`. */
export class Fault {
  readonly what: FaultKind;

  constructor(what: FaultKind) {
    this.what = what;
  }
}

/** Ways in which a call fails. Each is what a worker's own HTTP client, or what the request function, would make of it. */
export const fault = {
  /** No connection: certainly nothing happened. */
  refused: (): Fault => new Fault({ kind: "refused" }),
  /** No answer, so that the call's time-out ends it: what was asked has happened, and nobody hears of it. */
  silent: (): Fault => new Fault({ kind: "silent" }),
  /** The connection breaks. `carriedOut` (default true): after what was asked has happened. */
  reset: ({ carriedOut = true }: { readonly carriedOut?: boolean } = {}): Fault => new Fault({ kind: "reset", carriedOut }),
  /** An HTTP status outside 200 to 299. */
  status: (status: number, { headers, body }: Omit<HttpAnswer, "status"> = {}): Fault =>
    new Fault({ kind: "status", answer: { status, ...(headers === undefined ? {} : { headers }), ...(body === undefined ? {} : { body }) } }),
  /** What the request function would throw, such as a `PermanentError` or a `TransientError`. */
  thrown: (error: unknown): Fault => new Fault({ kind: "thrown", error }),
} as const;

/** Answers in turn. Made by `inTurn`. */
export class InTurn<Request, Response> {
  readonly answers: readonly OneAnswer<Request, Response>[];

  constructor(answers: readonly OneAnswer<Request, Response>[]) {
    this.answers = answers;
  }
}

/** An answer that takes its time. Made by `late`. */
export class Late<Request, Response> {
  readonly afterMs: number;
  readonly answer: OneAnswer<Request, Response>;

  constructor(afterMs: number, answer: OneAnswer<Request, Response>) {
    this.afterMs = afterMs;
    this.answer = answer;
  }
}

/** Which call an answer is for, by its step. */
export interface CallOfStep {
  /** Undefined for a call outside of steps. */
  readonly step?: string | undefined;
  /** From 1 among the calls of this dependency there; default 1. A call that is tried again is the same call. */
  readonly number?: number | undefined;
  /** In the step's `query`, not in its effect. */
  readonly query?: boolean | undefined;
  /** In the step's fallback of this name. */
  readonly fallback?: string | undefined;
}

/** An answer to one call. */
export interface CallAnswered<Request, Response> extends CallOfStep {
  readonly answer: OneAnswer<Request, Response>;
}

/** Answers by call. Made by `byCall`. */
export class ByCall<Request, Response> {
  readonly calls: readonly CallAnswered<Request, Response>[];
  readonly others: Stub | undefined;

  constructor(calls: readonly CallAnswered<Request, Response>[], others: Stub | undefined) {
    this.calls = calls;
    this.others = others;
  }
}

/** What a stub answers to a call: a value, a fault, either of them later, or what a function makes of the call. */
export type OneAnswer<Request, Response> =
  | Response
  | Fault
  | Late<Request, Response>
  | ((call: StubCall<Request>) => Response | Fault | Promise<Response | Fault>);

/** What a stub answers: the same each time, one after the other, or by call. */
export type Answer<Request, Response> = OneAnswer<Request, Response> | InTurn<Request, Response> | ByCall<Request, Response>;

/** What is answered where it is not a failure: of failures alone nothing. */
type Answered<Response> = Response extends Fault ? never : Response;

/** Answers what it is asked first with the first answer, and so on; one more question than answers fails the test. */
export function inTurn<Request, Response>(...answers: readonly OneAnswer<Request, Response>[]): InTurn<Request, Answered<Response>> {
  return new InTurn(answers as readonly OneAnswer<Request, Answered<Response>>[]);
}

/**
 * Answers each call by its step, however often it is tried: `byCall([{ step: "charge", answer: { body } }, { step: "charge", number: 2, answer: fault.status(503) }])`. What is not
 * among them `others` answers, a stub of the same dependency; without one such a call fails the test.
 */
export function byCall<Request, Response>(calls: readonly CallAnswered<Request, Response>[], others?: Stub): ByCall<Request, Answered<Response>> {
  return new ByCall(calls as readonly CallAnswered<Request, Answered<Response>>[], others);
}

/** Answers after so many milliseconds of simulated time. */
export function late<Request, Response>(afterMs: number, answer: OneAnswer<Request, Response>): Late<Request, Answered<Response>> {
  return new Late(afterMs, answer as OneAnswer<Request, Answered<Response>>);
}

/** What stands in for a dependency. Made by `stub`. */
export interface Stub {
  readonly dependency: Dependency;
  readonly answer: Answer<unknown, unknown>;
  /** A call of it changes nothing, so that one outside of a step may be made again. */
  readonly isRead: boolean;
  /** A call of it may fail for good without anything telling of it. */
  readonly mayFail?: boolean;
}

/** What `stub` takes beside the answer. */
export interface StubOptions {
  /**
   * Calls of it change nothing, whatever they are: `everyWay` lets them be repeated outside of steps. Default false; `GET` and `HEAD` of an HTTP
   * dependency are taken for reads in any case.
   */
  readonly reads?: boolean;
  /** Calls of it may fail for good and nothing needs to tell of it, as with what is told to a log: `everyWay` lets runs end then as if they had not. Default false. */
  readonly mayFail?: boolean;
}

/** What a stub is to answer: what the schema of answers takes, where the dependency has one; of one over HTTP as little of it as the test cares for. */
export type StubAnswer<Response, Answered> = ([unknown] extends [Answered] ? Response : Answered) extends infer Said
  ? [Said] extends [HttpResponse<infer Body>]
    ? HttpAnswer<Body>
    : Said
  : never;

/**
 * Stands in for a dependency in a test. It honours idempotency keys as a real one should: what was carried out once under a key is
 * answered again for the same request, and not done again. Throws `ConfigurationError` when `dependency` is none.
 */
export function stub<Request, Response, Answered>(
  dependency: Dependency<Request, Response, Answered>,
  answer: Answer<NoInfer<Request>, StubAnswer<NoInfer<Response>, NoInfer<Answered>>>,
  options?: StubOptions,
): Stub;
export function stub(dependency: unknown, answer: unknown, { reads = false, mayFail = false }: StubOptions = {}): Stub {
  if (!isDependency(dependency)) throw new ConfigurationError(`stub: expected a dependency made by defineDependency, got ${show(dependency)}`);
  return { dependency, answer, isRead: reads, mayFail };
}
