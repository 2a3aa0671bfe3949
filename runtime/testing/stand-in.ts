/** Dependencies of a test: the stubs behind a network that is simulated, with all that was asked of them. */
import { isDeepStrictEqual } from "node:util";
import { retryAfterOf } from "../skills/host/retry-after.ts";
import type { CallInfo, Dependency, HttpRequest, RequestFunction } from "../skills/author/define-dependency.ts";
import { PermanentError } from "../skills/author/errors.ts";
import { show } from "../skills/author/check-options.ts";
import type { Skill } from "../skills/author/define-skill.ts";
import { placeOf } from "../skills/host/code-place.ts";
import { refusal } from "../skills/host/http-refusal.ts";
import { type Answer, Fault, type HttpAnswer, InTurn, Late, type OneAnswer, type Stub } from "./stub.ts";
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
  /** `file:line:column` of the skill's code that called; empty where it cannot be told. */
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
}

interface Kept {
  readonly request: unknown;
  readonly response: unknown;
}

const requestShownMax = 300;

function shortened(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? show(value));
  return text.length > requestShownMax ? `${text.slice(0, requestShownMax)}…` : text;
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
  /** Tries so far, by dependency. */
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
      const from = callPlace();
      const what = info.step === undefined ? `${name}, outside of steps` : `${name} in step '${info.step}'`;
      return executor().whileCalled(() =>
        this.#points.askFromThread(caller, `call of ${what}`, () => this.#serve(dependency, request, info, from, executor()), lost),
      );
    };
  }

  async #serve(dependency: Dependency, request: unknown, info: CallInfo, from: string, executor: HostExecutor): Promise<unknown> {
    const { name } = dependency;
    const { step, idempotencyKey, attempt } = info;
    const number = (this.#numbers.get(name) ?? 0) + 1;
    this.#numbers.set(name, number);
    const one = this.#stubs.get(name);
    const isRead = one?.isRead === true || isSafe(dependency, request);
    const record = (response: unknown, carriedOut: boolean): void => {
      const asked = structuredClone(request);
      this.calls.push({ dependency: name, step, idempotencyKey, request: asked, attempt, atMs: this.#clock.monotonicMs(), from, response, carriedOut, isRead });
    };
    const key = `${name} ${idempotencyKey}`;
    const kept = isRead ? undefined : this.#kept.get(key);
    const isKnown = kept !== undefined && isDeepStrictEqual(kept.request, request);
    const carryOut = (response: unknown): unknown => {
      if (isKnown) {
        record(undefined, false);
        return kept.response;
      }
      record(response, true);
      if (!isRead) this.#kept.set(key, { request: structuredClone(request), response });
      return response;
    };
    await this.#clock.delay(1);
    const planned = this.#planned?.number === this.calls.length + 1 ? this.#planned.fault : undefined;
    const given = planned ?? (isKnown ? kept.response : await this.#answer(executor, dependency, number, request, info));
    if (given instanceof Fault)
      return await this.#fail(dependency, given, { record, carryOut, stubbed: () => this.#usual(executor, dependency, number, request, info) });
    await this.#clock.delay(1);
    return carryOut(dependency.request === undefined ? asHttp(name, given as HttpAnswer, (at) => record(at, false), this.#clock.wallMs()) : given);
  }

  /** What it would have answered without the planned fault. */
  async #usual(executor: HostExecutor, dependency: Dependency, number: number, request: unknown, info: CallInfo): Promise<unknown> {
    const given = await this.#answer(executor, dependency, number, request, info);
    return given instanceof Fault ? undefined : given;
  }

  async #fail(
    dependency: Dependency,
    { what }: Fault,
    {
      record,
      carryOut,
      stubbed,
    }: {
      readonly record: (response: unknown, carriedOut: boolean) => void;
      readonly carryOut: (response: unknown) => unknown;
      readonly stubbed: () => Promise<unknown>;
    },
  ): Promise<unknown> {
    const { name } = dependency;
    const done = async (): Promise<void> => {
      const response = await stubbed();
      carryOut(
        dependency.request === undefined && response !== undefined ? asHttp(name, response as HttpAnswer, () => undefined, this.#clock.wallMs()) : response,
      );
    };
    switch (what.kind) {
      case "refused":
        record(undefined, false);
        throw Object.assign(new Error(`${name}: the connection was refused`), { code: "ECONNREFUSED" });
      case "silent":
        await done();
        return await new Promise(() => undefined);
      case "reset":
        if (what.carriedOut) await done();
        else record(undefined, false);
        throw Object.assign(new Error(`${name}: the connection was reset`), { code: "ECONNRESET" });
      case "status":
        return asHttp(name, what.answer, (response) => record(response, false), this.#clock.wallMs());
      case "thrown":
        record(undefined, false);
        throw what.error;
    }
  }

  async #answer(executor: HostExecutor, { name }: Dependency, number: number, request: unknown, info: CallInfo): Promise<unknown> {
    const answer = this.#stubs.get(name)?.answer;
    if (answer === undefined)
      return this.#unexpected(`expected no call of '${name}', the skill made one`, request, info, `give dependencies a stub(${name}, …)`);
    let one = answer as OneAnswer<unknown, unknown>;
    if (answer instanceof InTurn) {
      if (number > answer.answers.length)
        return this.#unexpected(`expected ${answer.answers.length} calls of '${name}', the skill made one more`, request, info, "give inTurn an answer for it");
      one = answer.answers[number - 1];
    }
    while (one instanceof Late) {
      await this.#clock.delay(one.afterMs);
      one = one.answer;
    }
    if (typeof one !== "function") return one;
    const { idempotencyKey, step, attempt } = info;
    const answering = one as (call: unknown) => unknown;
    return await executor.whileAnswering(async () => answering({ request, idempotencyKey, step, attempt, number }));
  }

  #unexpected(what: string, request: unknown, { step }: CallInfo, remedy: string): never {
    const where = step === undefined ? "outside of steps" : `in step '${step}'`;
    const error = new UnexpectedCall(`${what}, ${where}: ${shortened(request)}; ${remedy}`);
    this.unexpected.push(error);
    throw new PermanentError(error.message, { code: "UNEXPECTED_CALL", cause: error });
  }
}

/** What the worker's HTTP client makes of an answer: a response, or a thrown error for a status that is none. */
function asHttp(name: string, answer: HttpAnswer, refused: (answer: HttpAnswer) => void, wallMs: number): unknown {
  const { status = 200, headers = {}, body } = answer;
  if (status >= 200 && status <= 299) return { status, headers, body };
  refused(answer);
  throw refusal({ name, status, said: body === undefined ? "" : shortened(body), retryAfterMs: retryAfterOf(headers, wallMs) });
}
