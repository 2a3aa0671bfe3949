/** Goes through a recorded run again: its steps and its calls answer as they did, and nobody outside is asked anything. */
import { randomUUID } from "node:crypto";
import { messageOf } from "../core/errors.ts";
import { deathHeaders } from "../core/death.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import type { Skill } from "../skills/author/define-skill.ts";
import { type CallAnswer, errorOfCall } from "../skills/host/call-answers.ts";
import { decodeStep } from "../skills/host/step-codec.ts";
import { type RecordedRun, routeOfMessage } from "./recorded-run.ts";
import type { Provided } from "./provide.ts";
import { type CaseReport, runSkillCase, type TestSession } from "./skill-case.ts";
import { shortened, UnexpectedCall } from "./stand-in.ts";
import type { OneAnswer, Stub, StubCall } from "./stub.ts";
import { InTurn } from "./stub.ts";
import type { Surroundings } from "./world/surroundings.ts";

export interface RerunOptions {
  readonly skill: Skill;
  readonly run: RecordedRun;
  /** What its calls were answered, as far as it is on record. */
  readonly answers: readonly CallAnswer[];
  /** Answer what is not on record. */
  readonly stubs: readonly Stub[];
  readonly surroundings: Surroundings;
  readonly session?: TestSession | undefined;
  /** Values of its plugin's settings. */
  readonly provided: Provided;
  /** Somebody may stop it to look. */
  readonly isWatched?: boolean;
}

/** `refused`: it asked for what nobody has on record, and was stopped there. */
export type Rerun = { readonly kind: "ended"; readonly report: CaseReport } | { readonly kind: "refused"; readonly why: string; readonly from: string };

/** Written by workers on the way of one message; what is gone through again begins without them. */
const ownHeader = /^holdfast-/;

/** The message as it was before a worker had it. */
export function asSent(message: OutgoingMessage): OutgoingMessage {
  const { timeToLiveMs: _life, scheduledAtMs: _at, ...rest } = message;
  return { ...rest, headers: Object.fromEntries(Object.entries(message.headers).filter(([name]) => !deathHeaders.has(name) && !ownHeader.test(name))) };
}

/** The place of a call among those of its dependency in its step: a retry has the key of its first try. */
class CallNumbers {
  readonly #keys = new Map<string, string[]>();

  of(dependency: string, { step, idempotencyKey }: Pick<StubCall<unknown>, "step" | "idempotencyKey">): number {
    const place = JSON.stringify([dependency, step]);
    const keys = this.#keys.get(place) ?? [];
    this.#keys.set(place, keys);
    const known = keys.indexOf(idempotencyKey);
    return known >= 0 ? known + 1 : keys.push(idempotencyKey);
  }
}

/** Stands in for every dependency of the skill. */
function standIns({ skill, answers, stubs }: RerunOptions): readonly Stub[] {
  const numbers = new CallNumbers();
  const turns = new Map<Stub, number>();
  const nextOf = (stub: Stub, turn: InTurn<unknown, unknown>): OneAnswer<unknown, unknown> => {
    const number = turns.get(stub) ?? 0;
    turns.set(stub, number + 1);
    if (number >= turn.answers.length)
      throw new UnexpectedCall(`the stub of '${stub.dependency.name}' has ${turn.answers.length} answers, one more is asked for`);
    return turn.answers[number];
  };
  return skill.uses.map((dependency) => ({
    dependency,
    isRead: false,
    answer: (call: StubCall<unknown>): unknown => {
      const { name } = dependency;
      const number = numbers.of(name, call);
      const recorded = answers.find((one) => one.dependency === name && one.step === call.step && one.number === number)?.came;
      if (recorded !== undefined) {
        if ("failure" in recorded) throw errorOfCall({ dependency: name, failure: recorded.failure });
        return recorded.response;
      }
      const stub = stubs.find((one) => one.dependency.name === name);
      if (stub === undefined) throw refusal(name, number, call);
      const answer = stub.answer instanceof InTurn ? nextOf(stub, stub.answer) : stub.answer;
      return typeof answer === "function" ? (answer as (call: StubCall<unknown>) => unknown)(call) : answer;
    },
  }));
}

function refusal(dependency: string, number: number, { step, request }: StubCall<unknown>): UnexpectedCall {
  const where = step === undefined ? "outside of steps" : `in step '${step}'`;
  const which = number === 1 ? "" : ` (number ${number})`;
  return new UnexpectedCall(
    `the call of '${dependency}'${which} ${where} was refused before it left: there is no record of its answer; it asks ${shortened(request)}; answer it with --stubs FILE`,
  );
}

/** Rejects where the kit itself cannot go on, as with a skill that never ends. */
export async function rerun(options: RerunOptions): Promise<Rerun> {
  const { skill, run, surroundings, session, provided, isWatched = false } = options;
  const message = { ...asSent(run.message), messageId: run.message.messageId || randomUUID() };
  const route = routeOfMessage(message, surroundings);
  try {
    const report = await runSkillCase({
      skill,
      event: route.ok ? { eventId: route.route.eventId } : {},
      stubs: standIns(options),
      recorded: { ...run, message: session === undefined ? message : { ...message, sessionId: session.id } },
      surroundings,
      session,
      provided,
      realWaitMaxMs: isWatched ? Number.POSITIVE_INFINITY : undefined,
    });
    return { kind: "ended", report };
  } catch (error) {
    if (error instanceof UnexpectedCall) return { kind: "refused", why: messageOf(error), from: error.from };
    throw error;
  }
}

/** What steps on record have left, for people and for tests. */
export function resultsOf({ steps }: Pick<RecordedRun, "steps">): ReadonlyMap<string, unknown> {
  return new Map(steps.flatMap((step) => (step.state === "completed" ? [[step.name, decodeStep(step)?.result] as const] : [])));
}
