/** Goes through a recorded run again: its steps and its calls answer as they did, and nobody outside is asked anything. */
import { randomUUID } from "node:crypto";
import { messageOf } from "../core/errors.ts";
import { deathHeaders } from "../core/death.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import type { Skill } from "../skills/author/define-skill.ts";
import { type CallAnswer, errorOfCall } from "../skills/host/call-answers.ts";
import { placeOfCall } from "../skills/host/run-identity.ts";
import { decodeStep } from "../skills/host/step-codec.ts";
import { type RecordedRun, routeOfMessage } from "./recorded-run.ts";
import type { Provided } from "./provide.ts";
import { type CaseReport, runSkillCase, type TestSession } from "./skill-case.ts";
import { shortened, UnexpectedCall } from "./stand-in.ts";
import { AnswerChoice } from "./choose-answer.ts";
import type { Stub, StubCall } from "./stub.ts";
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

/** Stands in for every dependency of the skill. */
function standIns({ skill, answers, stubs }: RerunOptions): readonly Stub[] {
  const choice = new AnswerChoice();
  return skill.uses.map((dependency) => ({
    dependency,
    isRead: false,
    answer: (call: StubCall<unknown>): unknown => {
      const { name } = dependency;
      const place = placeOfCall(call.idempotencyKey);
      const recorded = answers.find((one) => one.dependency === name && one.step === call.step && one.place === place)?.came;
      if (recorded !== undefined) {
        if ("failure" in recorded) throw errorOfCall({ dependency: name, failure: recorded.failure });
        return recorded.response;
      }
      const stub = stubs.find((one) => one.dependency.name === name);
      if (stub === undefined) throw refusal(name, call);
      const chosen = choice.choose(stub.answer, call);
      if (!chosen.found) throw new UnexpectedCall(`the stub of '${name}': ${chosen.why}; ${chosen.remedy}`);
      return typeof chosen.answer === "function" ? (chosen.answer as (call: StubCall<unknown>) => unknown)(call) : chosen.answer;
    },
  }));
}

function refusal(dependency: string, { step, request, idempotencyKey }: StubCall<unknown>): UnexpectedCall {
  const where = step === undefined ? "outside of steps" : `in step '${step}'`;
  return new UnexpectedCall(
    `the call of '${dependency}' ${where} was refused before it left: there is no record of its answer; it asks ${shortened(request)} under the idempotency key ${idempotencyKey}; answer it with --stubs FILE`,
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
