import { z } from "zod";
import { digestOf } from "./hash-index.ts";

/** How a stand-in behaves; every field can be changed while it runs. */
export interface Behaviour {
  /** Added to every answer. */
  readonly latencyMs: number;
  /** Up to this much more, uniform. */
  readonly jitterMs: number;
  /** Share of calls that fail before they have an effect; another try may succeed. */
  readonly failureRate: number;
  readonly failureStatus: number;
  /** Share of keys that fail at every try. */
  readonly permanentFailureRate: number;
  readonly permanentFailureStatus: number;
  /** What a refusal of a call says of when to try again, in its `Retry-After`, rounded up to seconds; 0 says nothing. */
  readonly retryAfterMs: number;
  /** Share of calls that have their effect, and whose answer breaks off halfway. */
  readonly halfAnswerRate: number;
  /** Share of calls that have their effect and then lose the connection, so that the caller cannot know. */
  readonly lostAnswerRate: number;
  /** Calls have their effect but are not answered until this is switched off or the stand-in stops. */
  readonly hang: boolean;
  /** The same seed gives the same verdict to the same try of the same key. */
  readonly seed: number;
}

export const calmBehaviour: Behaviour = {
  latencyMs: 0,
  jitterMs: 0,
  failureRate: 0,
  failureStatus: 503,
  permanentFailureRate: 0,
  permanentFailureStatus: 400,
  retryAfterMs: 0,
  halfAnswerRate: 0,
  lostAnswerRate: 0,
  hang: false,
  seed: 1,
};

const latencyMaxMs = 600_000;
const rate = z.number().min(0).max(1).optional();
const status = z.number().int().min(400).max(599).optional();
const delay = z.number().min(0).max(latencyMaxMs).optional();

const fields = {
  latencyMs: delay,
  jitterMs: delay,
  failureRate: rate,
  failureStatus: status,
  permanentFailureRate: rate,
  permanentFailureStatus: status,
  retryAfterMs: delay,
  halfAnswerRate: rate,
  lostAnswerRate: rate,
  hang: z.boolean().optional(),
  seed: z.number().int().min(0).optional(),
};

/** Some of it: what is left out stays as it is. */
export type BehaviourFields = { readonly [Field in keyof Behaviour]?: Behaviour[Field] | undefined };

export const behaviourSchema: z.ZodType<BehaviourFields> = z.strictObject(fields);

const changeSchema = z.strictObject({ target: z.string(), ...fields });

/** What `POST /behaviour` takes: the target (`all` for every one) and the fields to change. */
export type BehaviourChange = { readonly target: string } & Partial<Behaviour>;

/** Reads a change, or says in one line what is wrong with it. */
export function parseBehaviourChange(input: unknown): BehaviourChange | { readonly error: string } {
  const parsed = changeSchema.safeParse(input);
  if (!parsed.success) return { error: z.prettifyError(parsed.error) };
  return Object.fromEntries(Object.entries(parsed.data).filter(([, value]) => value !== undefined)) as BehaviourChange;
}

export type Verdict = "answer" | "fail" | "fail-for-good" | "lose-answer" | "half-answer";

const unit = 0x1_0000_0000;

/** Decides about the `nth` try of a key from the seed alone, so that a run can be repeated whatever the order of arrival. */
export function verdictOn(behaviour: Behaviour, key: string, nth: number): Verdict {
  const { failureRate, permanentFailureRate, lostAnswerRate, halfAnswerRate, seed } = behaviour;
  if (permanentFailureRate > 0 && digestOf(`${seed} for good ${key}`).low / unit < permanentFailureRate) return "fail-for-good";
  if (failureRate === 0 && lostAnswerRate === 0 && halfAnswerRate === 0) return "answer";
  const drawn = digestOf(`${seed} ${nth} ${key}`);
  if (drawn.low / unit < failureRate) return "fail";
  const share = drawn.high / unit;
  if (share < lostAnswerRate) return "lose-answer";
  return share < lostAnswerRate + halfAnswerRate ? "half-answer" : "answer";
}

/** How long the `nth` answer for a key takes. */
export function latencyOf(behaviour: Behaviour, key: string, nth: number): number {
  const { latencyMs, jitterMs, seed } = behaviour;
  if (jitterMs === 0) return latencyMs;
  return latencyMs + (digestOf(`${seed} latency ${nth} ${key}`).low / unit) * jitterMs;
}
