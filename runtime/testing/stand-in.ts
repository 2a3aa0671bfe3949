/** Dependencies of a test: the stubs behind a network that is simulated, with all that was asked of them. */
import { isDeepStrictEqual } from "node:util";
import { retryAfterOf } from "../skills/host/retry-after.ts";
import type { CallInfo, Dependency, HttpRequest, RequestFunction } from "../skills/author/define-dependency.ts";
import { PermanentError } from "../skills/author/errors.ts";
import { show } from "../skills/author/check-options.ts";
import type { Skill } from "../skills/author/define-skill.ts";
import { placeOf } from "../skills/host/code-place.ts";
import { messageOf } from "../core/errors.ts";
import { checkRequest, encodeBody } from "../skills/host/http-message.ts";
import { refusal } from "../skills/host/http-refusal.ts";
import { AnswerChoice } from "./choose-answer.ts";
import { Fault, type HttpAnswer, Late, type Stub } from "./stub.ts";
import type { HostExecutor } from "./world/host-executor.ts";
import type { Caller, IoPoints } from "./world/io-points.ts";
import type { SimClock } from "./world/sim-clock.ts";

/** One try of a call that the skill made. */
export interface MadeCall {
  readonly dependency: string;
  /** Undefined outside of steps. */
  readonly step: string | undefined;
  readonly idempotencyKey: string;
  readonly request: unknown;
  /** 1 for the first try of this call in its execution. */
  readonly attempt: number;
  /** In simulated time, from the start of the test. */
  readonly atMs: number;
  /** `file:line:column` of the skill's code that called; empty where it is unknown. */
  readonly from: string;
  /** What it got; undefined for a fault, and for an answer that it had before under this key. */
  readonly response: unknown;
  /** What was asked was carried out now, and not before. */
  readonly carriedOut: boolean;
  /** Nothing changes by it. */
  readonly isRead: boolean;
}

/** A failure that a test puts in the place of one try, counted from 1 over all tries of the test. */
export interface PlannedFault {
  readonly number: number;
  readonly fault: Fault;
}

/** A call that no stub answers. The test ends with it. */
export class UnexpectedCall extends Error {
  override readonly name = "UnexpectedCall";
  /** `file:line:column` of the skill's code that called; empty where it is unknown. */
  from = "";
}

/** What was carried out under a key. */
interface Kept {
  readonly request: unknown;
  /** Undefined while nobody was told. */
  readonly answer: { readonly response: unknown } | undefined;
}

interface PlacedCall extends CallInfo {
  readonly from: string;
}

/** One try, as it is served. */
interface Served {
  /** It was carried out before, and its answer is known. */
  readonly isAnswered: boolean;
  readonly answer: unknown;
  record(response: unknown, carriedOut: boolean): void;
  /** Carries it out, once a key; gives the answer of the first time. */
  carryOut(response: unknown): unknown;
  carryOutUnheard(): void;
}

const requestShownMax = 300;

export function shortened(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? show(value));
  return text.length > requestShownMax ? `${text.slice(0, requestShownMax)}…` : text;
}

/** As the worker's client does it before anything is sent. Throws `PermanentError`. */
export function checkSendable(name: string, request: HttpRequest): void {
  checkRequest(name, request);
  encodeBody(name, request.body);
}

/** As it was when it was asked; what cannot be copied, such as a function, is what it is. */
function copyOf(request: unknown): unknown {
  try {
    return structuredClone(request);
  } catch {
    return request;
  }
}

/** As it comes out of JSON. */
export function asRead({ body, ...answer }: HttpAnswer): HttpAnswer {
  if (typeof body !== "object" || body === null || body instanceof Uint8Array) return body === undefined ? answer : { ...answer, body };
  return { ...answer, body: JSON.parse(JSON.stringify(body)) as unknown };
}

function isSafe(dependency: Dependency, request: unknown): boolean {
  if (dependency.request !== undefined) return false;
  const { method } = request as HttpRequest;
  return method === "GET" || method === "HEAD";
}

/** Where in the author's own code the call at hand comes from. */
function callPlace(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 40;
  const place = placeOf(new Error("called"), "/");
  Error.stackTraceLimit = limit;
  return place === undefined ? "" : `${place.file}:${place.line}:${place.column}`;
}

/** Whoever calls: a process and its thread. */
interface CallerParts {
  readonly caller: Caller;
  readonly executor: () => HostExecutor;
}

export class StandIns {
  readonly calls: MadeCall[] = [];
  readonly unexpected: UnexpectedCall[] = [];
  readonly #clock: SimClock;
  readonly #points: IoPoints;
  readonly #stubs: ReadonlyMap<string, Stub>;
  readonly #planned: PlannedFault | undefined;
  /** What was carried out, by dependency and key. */
  readonly #kept = new Map<string, Kept>();
  readonly #choice = new AnswerChoice();
  /** How often a stub was asked, by dependency. */
  readonly #numbers = new Map<string, number>();

  constructor(clock: SimClock, points: IoPoints, stubs: readonly Stub[], planned?: PlannedFault) {
    this.#clock = clock;
    this.#points = points;
    this.#stubs = new Map(stubs.map((one) => [one.dependency.name, one]));
    this.#planned = planned;
  }

  /** The skill, with a stand-in for each of its dependencies. */
  within(skill: Skill, parts: CallerParts): Skill {
    return { ...skill, uses: skill.uses.map((dependency) => ({ ...dependency, baseUrl: undefined, request: this.#requestOf(dependency, parts) })) };
  }

  #requestOf(dependency: Dependency, { caller, executor }: CallerParts): RequestFunction<never, unknown> {
    const { name } = dependency;
    const lost = (): never => {
      throw Object.assign(new Error("the connection was reset before the answer came"), { code: "ECONNRESET" });
    };
    return (request: unknown, info) => {
      if (dependency.request === undefined) checkSendable(name, request as HttpRequest);
      const from = callPlace();
      const what = info.step === undefined ? `${name}, outside of steps` : `${name} in step '${info.step}'`;
      return executor().whileCalled(() =>
        this.#points.askFromThread(caller, `call of ${what}`, () => this.#serve(dependency, request, info, from, executor()), lost),
      );
    };
  }

  async #serve(dependency: Dependency, request: unknown, info: CallInfo, from: string, executor: HostExecutor): Promise<unknown> {
    const { name } = dependency;
    const served = this.#open(dependency, request, info, from);
    await this.#clock.delay(1);
    const planned = this.#planned?.number === this.calls.length + 1 ? this.#planned.fault : undefined;
    const given = planned ?? (served.isAnswered ? served.answer : await this.#answer(executor, name, request, { ...info, from }));
    if (given instanceof Fault) return await this.#fail(name, given, served);
    await this.#clock.delay(1);
    if (dependency.request !== undefined) return served.carryOut(given);
    const answer = this.#readable(name, given as HttpAnswer, { ...info, from });
    return served.carryOut(asHttp(name, answer, () => served.record(undefined, false), this.#clock.wallMs()));
  }

  #open(dependency: Dependency, request: unknown, { step, idempotencyKey, attempt }: CallInfo, from: string): Served {
    const { name } = dependency;
    const isRead = this.#stubs.get(name)?.isRead === true || isSafe(dependency, request);
    const key = `${name} ${idempotencyKey}`;
    const known = isRead ? undefined : this.#kept.get(key);
    const kept = known !== undefined && isDeepStrictEqual(known.request, request) ? known : undefined;
    const record = (response: unknown, carriedOut: boolean): void => {
      const asked = copyOf(request);
      this.calls.push({ dependency: name, step, idempotencyKey, request: asked, attempt, atMs: this.#clock.monotonicMs(), from, response, carriedOut, isRead });
    };
    const keep = (answer: Kept["answer"]): void => {
      if (!isRead) this.#kept.set(key, { request: copyOf(request), answer });
    };
    return {
      isAnswered: kept?.answer !== undefined,
      answer: kept?.answer?.response,
      record,
      carryOut: (response) => {
        record(kept === undefined ? response : undefined, kept === undefined);
        const answer = kept?.answer ?? { response };
        keep(answer);
        return answer.response;
      },
      carryOutUnheard: () => {
        record(undefined, kept === undefined);
        keep(kept?.answer);
      },
    };
  }

  async #fail(name: string, { what }: Fault, served: Served): Promise<unknown> {
    switch (what.kind) {
      case "refused":
        served.record(undefined, false);
        throw Object.assign(new Error(`${name}: the connection was refused`), { code: "ECONNREFUSED" });
      case "silent":
        served.carryOutUnheard();
        return await new Promise(() => undefined);
      case "reset":
        if (what.carriedOut) served.carryOutUnheard();
        else served.record(undefined, false);
        throw Object.assign(new Error(`${name}: the connection was reset`), { code: "ECONNRESET" });
      case "status":
        return asHttp(name, what.answer, () => served.record(undefined, false), this.#clock.wallMs());
      case "thrown":
        served.record(undefined, false);
        throw what.error;
    }
  }

  async #answer(executor: HostExecutor, name: string, request: unknown, info: PlacedCall): Promise<unknown> {
    const number = (this.#numbers.get(name) ?? 0) + 1;
    this.#numbers.set(name, number);
    const answer = this.#stubs.get(name)?.answer;
    if (answer === undefined)
      return this.#unexpected(`expected no call of '${name}', the skill made one`, request, info, `give dependencies a stub(${name}, …)`);
    const chosen = this.#choice.choose(answer, info);
    if (!chosen.found) return this.#unexpected(`'${name}': ${chosen.why}`, request, info, chosen.remedy);
    const one = await this.#inTime(chosen.answer);
    if (typeof one !== "function") return one;
    const { idempotencyKey, step, attempt } = info;
    const answering = one as (call: unknown) => unknown;
    try {
      return await this.#inTime(await executor.whileAnswering(async () => answering({ request, idempotencyKey, step, attempt, number })));
    } catch (error) {
      if (error instanceof UnexpectedCall) return this.#refuse(error, info);
      throw error;
    }
  }

  async #inTime(given: unknown): Promise<unknown> {
    let one = given;
    while (one instanceof Late) {
      await this.#clock.delay(one.afterMs);
      one = (one as Late<unknown, unknown>).answer;
    }
    return one;
  }

  /** What the worker's client would read of it; of the stub's own object nothing is handed out. */
  #readable(name: string, answer: HttpAnswer, info: PlacedCall): HttpAnswer {
    try {
      return asRead(answer);
    } catch (error) {
      return this.#refuse(new UnexpectedCall(`'${name}': expected a stub whose body JSON can say, found: ${messageOf(error, 200)}`), info);
    }
  }

  #unexpected(what: string, request: unknown, info: PlacedCall, remedy: string): never {
    const { step } = info;
    const where = step === undefined ? "outside of steps" : `in step '${step}'`;
    return this.#refuse(new UnexpectedCall(`${what}, ${where}: ${shortened(request)}; ${remedy}`), info);
  }

  #refuse(error: UnexpectedCall, { from }: PlacedCall): never {
    error.from = from;
    this.unexpected.push(error);
    throw new PermanentError(error.message, { code: "UNEXPECTED_CALL", cause: error });
  }
}

/** What the worker's HTTP client makes of an answer: a response, or a thrown error for a status that is none. */
export function asHttp(name: string, answer: HttpAnswer, refused: () => void, wallMs: number): unknown {
  const { status = 200, headers = {}, body } = answer;
  if (status >= 200 && status <= 299) return { status, headers, body };
  refused();
  throw refusal({ name, status, said: body === undefined ? "" : shortened(body), retryAfterMs: retryAfterOf(headers, wallMs) });
}
