/**
 * What the calls of an execution were answered, as far as no step's record holds it: of the step that was open, and of calls outside of
 * steps. An execution that fails for good leaves it with its run, so that the run can be gone through again without asking anybody.
 */
import { Packr } from "msgpackr";
import { messageOf } from "../../core/errors.ts";
import { PermanentError, type SkillError, TransientError } from "../author/errors.ts";
import { checkData } from "./plain-data.ts";

/** Calls of one execution that are kept, the last ones. */
const answersMax = 32;
/** Of one dependency. What is larger is left out. */
const answerBytesMax = 8 * 1024;

/** What one call came to. `number`: from 1 among the calls of its dependency in its step, or outside of steps. */
export interface CallAnswer {
  readonly dependency: string;
  /** Undefined outside of steps. */
  readonly step: string | undefined;
  readonly number: number;
  readonly came: { readonly response: unknown } | { readonly failure: CallFailure };
}

/** A call's error as plain data. */
export interface CallFailure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly definite: boolean;
  readonly status?: number | undefined;
  readonly retryAfterMs?: number | undefined;
}

/** Keeps dates, bytes, maps and sets, as step results do. */
const packr = new Packr({ structuredClone: true, copyBuffers: true });

type Packed = readonly [step: string | undefined, number: number, isFailure: boolean, came: unknown];

function failureOf(error: SkillError): CallFailure {
  const { code, message, retryable, definite, status } = error;
  const retryAfterMs = error instanceof TransientError ? error.retryAfterMs : undefined;
  return { code, message: messageOf(message), retryable, definite, status, retryAfterMs };
}

/** The error that a call failed with, as far as it was kept. */
export function errorOfCall({ dependency, failure }: { readonly dependency: string; readonly failure: CallFailure }): SkillError {
  const { message, retryable, retryAfterMs, ...said } = failure;
  const options = { ...said, dependency };
  return retryable ? new TransientError(message, { ...options, retryAfterMs }) : new PermanentError(message, options);
}

interface Kept {
  readonly dependency: string;
  readonly step: string | undefined;
  readonly number: number;
  readonly response: unknown;
  readonly error: SkillError | undefined;
}

/** Of one execution. Holds what the skill holds anyhow, and makes something of it only once it has failed. */
export class CallAnswers {
  #kept: Kept[] = [];

  add(dependency: string, step: string | undefined, number: number, response: unknown, error?: SkillError): void {
    if (this.#kept.length === answersMax) this.#kept.shift();
    this.#kept.push({ dependency, step, number, response, error });
  }

  /** The step's record holds what became of its calls. */
  stepDone(): void {
    if (this.#kept.length > 0) this.#kept = this.#kept.filter(({ step }) => step === undefined);
  }

  /** By dependency; of each as many as fit, the first ones first. */
  pack(): ReadonlyMap<string, Uint8Array> {
    const lists = new Map<string, { readonly entries: Uint8Array[]; left: number }>();
    for (const { dependency, step, number, response, error } of this.#kept) {
      const list = lists.get(dependency) ?? { entries: [], left: answerBytesMax };
      lists.set(dependency, list);
      const entry = packOrNothing([step, number, error !== undefined, error === undefined ? response : failureOf(error)]);
      if (entry === undefined || entry.byteLength > list.left) continue;
      list.left -= entry.byteLength;
      list.entries.push(entry);
    }
    return new Map([...lists].filter(([, { entries }]) => entries.length > 0).map(([dependency, { entries }]) => [dependency, packr.pack(entries)]));
  }
}

/** Undefined for what cannot be kept, such as a stream. */
function packOrNothing(packed: Packed): Uint8Array | undefined {
  try {
    checkData("answer", packed[3]);
    return packr.pack(packed);
  } catch {
    return undefined;
  }
}

/** What `pack` made of the calls of one dependency; what cannot be read is left out. */
export function unpackAnswers(dependency: string, bytes: Uint8Array): readonly CallAnswer[] {
  try {
    return (packr.unpack(bytes) as readonly Uint8Array[]).map((entry) => {
      const [step, number, isFailure, came] = packr.unpack(entry) as Packed;
      return { dependency, step: step ?? undefined, number, came: isFailure ? { failure: came as CallFailure } : { response: came } };
    });
  } catch {
    return [];
  }
}
