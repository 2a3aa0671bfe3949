/** Stubs that answer in real time, for a worker that is tried by hand: `holdfast dev --plugin`. */
import { setTimeout as pause } from "node:timers/promises";
import type { CallInfo, Dependency, HttpRequest, RequestFunction } from "../skills/author/define-dependency.ts";
import type { Plugin } from "../skills/author/define-plugin.ts";
import { PermanentError } from "../skills/author/errors.ts";
import { asHttp, asRead, checkSendable, shortened } from "./stand-in.ts";
import { AnswerChoice } from "./choose-answer.ts";
import { Fault, type HttpAnswer, Late, type Stub } from "./stub.ts";

/** Answers that are known again under their keys. */
const keptMax = 1_000;

function untilAborted({ signal }: CallInfo): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

async function fail(dependency: string, { what }: Fault, info: CallInfo): Promise<unknown> {
  switch (what.kind) {
    case "refused":
      throw Object.assign(new Error(`${dependency}: the connection was refused`), { code: "ECONNREFUSED" });
    case "reset":
      throw Object.assign(new Error(`${dependency}: the connection was reset`), { code: "ECONNRESET" });
    case "silent":
      return untilAborted(info);
    case "status":
      return asHttp(dependency, what.answer, () => undefined, Date.now());
    case "thrown":
      throw what.error;
  }
}

/** What the stub makes of one call; `number` counts the calls that it was asked, from 1. */
async function answerOf({ dependency, answer }: Stub, choice: AnswerChoice, request: unknown, info: CallInfo, number: number): Promise<unknown> {
  const chosen = choice.choose(answer, info);
  if (!chosen.found) throw new PermanentError(`${dependency.name}: ${chosen.why}; ${chosen.remedy}`, { code: "NO_STUB" });
  let one = chosen.answer;
  if (typeof one === "function") {
    const { idempotencyKey, step, attempt } = info;
    one = await (one as (call: unknown) => unknown)({ request, idempotencyKey, step, attempt, number });
  }
  while (one instanceof Late) {
    await pause(one.afterMs, undefined, { signal: info.signal });
    one = (one as Late<unknown, unknown>).answer;
  }
  return one;
}

interface StandIn {
  readonly dependency: Dependency;
  stub: Stub | undefined;
}

/** By what they stand for: plugins that share a dependency share its stand-in, and whichever of them has a stub of it. */
const standIns = new WeakMap<Dependency, StandIn>();

function standInFor(dependency: Dependency, stubs: readonly Stub[]): Dependency {
  let standIn = standIns.get(dependency);
  if (standIn === undefined) {
    standIn = { dependency: { ...dependency, baseUrl: undefined, request: requestOf(dependency, () => standIns.get(dependency)?.stub) }, stub: undefined };
    standIns.set(dependency, standIn);
  }
  standIn.stub ??= stubs.find((one) => one.dependency.name === dependency.name);
  return standIn.dependency;
}

/** Honours keys, as a dependency should: what was carried out under a key is answered again. */
function requestOf(dependency: Dependency, stubNow: () => Stub | undefined): RequestFunction<never, unknown> {
  const { name } = dependency;
  const kept = new Map<string, unknown>();
  // Whoever tries by hand goes on after the last answer: with the first one again.
  const choice = new AnswerChoice(true);
  let asked = 0;
  return async (request: unknown, info) => {
    const stub = stubNow();
    if (stub === undefined)
      throw new PermanentError(`expected a stub of '${name}' in stubs.ts beside the plugin, found none; it was asked ${shortened(request)}`, {
        code: "NO_STUB",
      });
    const key = info.idempotencyKey;
    // As the worker's client would before it sends anything.
    if (dependency.request === undefined) checkSendable(name, request as HttpRequest);
    if (kept.has(key)) return kept.get(key);
    asked += 1;
    const given = await answerOf(stub, choice, request, info, asked);
    if (given instanceof Fault) return fail(name, given, info);
    const response = dependency.request === undefined ? asHttp(name, asRead(given as HttpAnswer), () => undefined, Date.now()) : given;
    const [oldest] = kept.keys();
    if (kept.size >= keptMax && oldest !== undefined) kept.delete(oldest);
    if (!stub.isRead) kept.set(key, response);
    return response;
  };
}

/** The plugin with a stand-in for each dependency. One without a stub refuses its calls, and says so. */
export function withStubs(plugin: Plugin, stubs: readonly Stub[]): Plugin {
  const byName = new Map(plugin.dependencies.map((dependency) => [dependency.name, standInFor(dependency, stubs)]));
  const of = (dependency: Dependency): Dependency => byName.get(dependency.name) ?? dependency;
  return { ...plugin, dependencies: plugin.dependencies.map(of), skills: plugin.skills.map((skill) => ({ ...skill, uses: skill.uses.map(of) })) };
}
