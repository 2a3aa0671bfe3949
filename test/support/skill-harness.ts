// Runs one skill in this process without a broker, a store or threads: steps are kept in a map, calls go to functions, and a
// crash can be put before or after any step's result is stored. It says what a skill does; how the runtime does it is
// tested elsewhere.
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { fallBack } from "#runtime/skills/host/fallbacks.ts";
import type {
  Dependency,
  EventEnvelope,
  HttpRequest,
  PayloadSchema,
  Skill,
  SkillContext,
  SkillLog,
  StepContext,
  StepEffect,
  StepOptions,
  StepQuality,
} from "#runtime/index.ts";

export interface Call {
  readonly dependency: string;
  readonly step: string | undefined;
  readonly idempotencyKey: string;
  readonly request: HttpRequest;
}

export interface Emitted {
  readonly eventType: string;
  readonly payload: unknown;
}

/** What survives a crash. */
export type StoredSteps = Map<string, unknown>;

export interface HarnessOptions {
  readonly eventId?: string;
  /** Answers the calls to a dependency, by its name; may throw. */
  readonly answers?: Readonly<Record<string, (request: HttpRequest, call: Call) => unknown>>;
  /** Results of steps that were done before. */
  readonly stored?: StoredSteps;
  readonly attempt?: number;
  /** Ends the run after this step's effect, before its result is stored. */
  readonly crashAfterEffectOf?: string;
}

export interface HarnessResult {
  readonly emitted: readonly Emitted[];
  readonly calls: readonly Call[];
  /** Names of the steps whose effect was run, in order. */
  readonly ran: readonly string[];
  readonly stored: StoredSteps;
}

export class Crash extends Error {}

const silent: SkillLog = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** What a Standard Schema makes of a payload; throws when it refuses it. */
export async function readPayload<Payload>(schema: PayloadSchema<Payload> | undefined, payload: unknown): Promise<Payload> {
  const standard = (schema as StandardSchemaV1<unknown, Payload> | undefined)?.["~standard"];
  if (standard === undefined) return payload as Payload;
  const result = await standard.validate(payload);
  if (result.issues !== undefined) throw new TypeError(`expected a payload of the schema, got: ${JSON.stringify(result.issues)}`);
  return result.value;
}

function envelopeOf<Payload>(eventId: string, eventType: string, payload: Payload): EventEnvelope<Payload> {
  return {
    eventId,
    eventType,
    traceId: "trace-1",
    correlationId: "flow-1",
    projectId: "project-1",
    originatingAgent: "test",
    version: "1.0",
    timestamp: "2026-01-01T00:00:00.000Z",
    payload,
  };
}

/** Validates the payload and runs the skill for it. */
export async function runSkill<Payload>(skill: Skill<Payload>, payload: unknown, options: HarnessOptions = {}): Promise<HarnessResult> {
  const { eventId = "evt-1", answers = {}, stored = new Map<string, unknown>(), attempt = 1 } = options;
  const event = envelopeOf(
    eventId,
    skill.handles[0]?.eventType ?? "",
    await readPayload<Payload>(skill.payload as PayloadSchema<Payload> | undefined, payload),
  );
  const emitted: Emitted[] = [];
  const calls: Call[] = [];
  const ran: string[] = [];
  const qualities = new Map<string, StepQuality>();

  const contextOf = (step: string | undefined): StepContext<Payload> => ({
    event,
    signal: new AbortController().signal,
    log: silent,
    attempt,
    idempotencyKey: `${eventId}/${step ?? ""}`,
    qualityOf: (name) => qualities.get(name) ?? "full",
    async call<Request, Response>(dependency: Dependency<Request, Response>, request: Request): Promise<Response> {
      if (!skill.uses.some((used) => used.name === dependency.name)) throw new TypeError(`expected ${dependency.name} to be named in uses`);
      const answer = answers[dependency.name];
      if (answer === undefined) throw new TypeError(`expected no call to ${dependency.name}`);
      const call: Call = { dependency: dependency.name, step, idempotencyKey: `${eventId}/${step ?? ""}`, request: request as HttpRequest };
      calls.push(call);
      return (await answer(call.request, call)) as Response;
    },
    emit(eventType, emittedPayload) {
      emitted.push({ eventType, payload: JSON.parse(JSON.stringify(emittedPayload)) as unknown });
    },
  });

  const context: SkillContext<Payload> = {
    ...contextOf(undefined),
    session: undefined,
    async step<Result>(name: string, given: StepOptions<Result, Payload> | StepEffect<Result, Payload>, last?: StepEffect<Result, Payload>): Promise<Result> {
      const effect = last ?? (given as StepEffect<Result, Payload>);
      const chain = (typeof given === "function" ? undefined : given.fallbacks) ?? [];
      if (!stored.has(name)) {
        ran.push(name);
        const answerOf = async (): Promise<unknown> => {
          try {
            return await effect(contextOf(name));
          } catch (error) {
            const step = { ...systemClock, open: () => contextOf(name), onEnd: () => () => undefined };
            const answer = await fallBack(step, contextOf(name), chain, error);
            if (answer.kind === "failed") throw answer.error;
            qualities.set(name, answer.fellBack.quality);
            return answer.result;
          }
        };
        const result = await answerOf();
        if (options.crashAfterEffectOf === name) throw new Crash(`crashed after ${name}`);
        stored.set(name, structuredClone(result));
      }
      return stored.get(name) as Result;
    },
  };
  await skill.run(context);
  return { emitted, calls, ran, stored };
}
