/**
 * What the calls of an execution were answered, as far as no step's record holds it: of the step that was open, and of calls outside of
 * steps. An execution that fails for good leaves it with its run, so that the run can be gone through again without asking anybody.
 */
import { Packr } from "msgpackr/pack";
import { messageOf } from "../../core/errors.ts";
import { isSecretName, redact } from "../../core/redact.ts";
import { PermanentError, type SkillError, TransientError } from "../author/errors.ts";
import { checkData } from "./plain-data.ts";

/** Calls of one execution that are kept, the last ones. */
const answersMax = 32;
/** Of one dependency. What is larger is left out. */
const answerBytesMax = 8 * 1024;

/** What one call came to. `place`: which one it was of the calls of its dependency in its step, or outside of steps, as `placeOfCall` says it. */
export interface CallAnswer {
  readonly dependency: string;
  /** Undefined outside of steps. */
  readonly step: string | undefined;
  readonly place: string;
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

type Packed = readonly [step: string | undefined, place: string, isFailure: boolean, came: unknown];

function failureOf(error: SkillError): CallFailure {
  const { code, message, retryable, definite, status } = error;
  const retryAfterMs = error instanceof TransientError ? error.retryAfterMs : undefined;
  return { code, message: redact(messageOf(message)), retryable, definite, status, retryAfterMs };
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
  readonly place: string;
  readonly response: unknown;
  readonly error: SkillError | undefined;
}

/** Of one execution. Holds small answers alone, so that a run holds no memory for them that counts, and makes something of them only once it has failed. */
export class CallAnswers {
  #kept: Kept[] = [];

  add(dependency: string, step: string | undefined, place: string, response: unknown, error?: SkillError): void {
    if (error === undefined && !isSmall(response)) return;
    if (this.#kept.length === answersMax) this.#kept.shift();
    this.#kept.push({ dependency, step, place, response, error });
  }

  /** The step's record holds what became of its calls. */
  stepDone(): void {
    if (this.#kept.length > 0) this.#kept = this.#kept.filter(({ step }) => step === undefined);
  }

  /** By dependency; of each as many as fit, the first ones first. */
  pack(): ReadonlyMap<string, Uint8Array> {
    const lists = new Map<string, { readonly entries: Uint8Array[]; left: number }>();
    for (const { dependency, step, place, response, error } of this.#kept) {
      const list = lists.get(dependency) ?? { entries: [], left: answerBytesMax };
      lists.set(dependency, list);
      const entry = packOrNothing([step, place, error !== undefined, error === undefined ? response : failureOf(error)]);
      if (entry === undefined || entry.byteLength > list.left) continue;
      list.left -= entry.byteLength;
      list.entries.push(entry);
    }
    return new Map([...lists].filter(([, { entries }]) => entries.length > 0).map(([dependency, { entries }]) => [dependency, packr.pack(entries)]));
  }
}

/** What a value takes beside its text, about; with it the look at a value ends after some hundred parts, whatever the value. */
const partBytes = 16;

/** Whether an answer is worth holding, as far as a short look tells. */
function isSmall(answer: unknown): boolean {
  try {
    return announcedBytes(answer) <= answerBytesMax && bytesLeft(answer, answerBytesMax) >= 0;
  } catch {
    // A getter or a proxy of an author's own client: the call has its answer all the same.
    return false;
  }
}

/** Of a response over HTTP that says how long its body is. */
function announcedBytes(answer: unknown): number {
  if (typeof answer !== "object" || answer === null) return 0;
  const { headers } = answer as { readonly headers?: unknown };
  if (typeof headers !== "object" || headers === null) return 0;
  const said = Number((headers as Readonly<Record<string, unknown>>)["content-length"] ?? 0);
  return Number.isNaN(said) ? 0 : said;
}

/** Of `left`, after this value; below zero where it is larger, or cannot be looked at. */
function bytesLeft(value: unknown, left: number): number {
  if (typeof value === "string") return left - value.length;
  if (typeof value !== "object" || value === null) return left - partBytes;
  if (ArrayBuffer.isView(value)) return left - value.byteLength;
  let rest = left - partBytes;
  if (value instanceof Map || value instanceof Set) {
    for (const [key, item] of value.entries()) {
      if (rest < 0) return rest;
      rest = bytesLeft(item, bytesLeft(key, rest));
    }
    return rest;
  }
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length && rest >= 0; at += 1) rest = bytesLeft(value[at], rest);
    return rest;
  }
  for (const name in value) {
    if (rest < 0) return rest;
    rest = bytesLeft((value as Readonly<Record<string, unknown>>)[name], rest - name.length);
  }
  return rest;
}

const masked = "[redacted]";
/** Beside those whose names say it: they invite a log-in, or belong to one. */
const headersOfLogIn = /^(?:set-cookie|(?:www|proxy)-authenticat|(?:proxy-)?authorization)/i;

/** A record lives long and is shown: headers of log-ins are left out, and fields with names of secrets are masked. */
function withoutSecrets(value: unknown, isHeaders = false): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item));
  if (typeof value !== "object" || value === null) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const entries = Object.entries(value).flatMap(([name, field]): readonly (readonly [string, unknown])[] => {
    if (isHeaders) return isSecretName(name) || headersOfLogIn.test(name) ? [] : [[name, field]];
    return [[name, isSecretName(name) ? masked : withoutSecrets(field, name === "headers")]];
  });
  return Object.fromEntries(entries);
}

/** Undefined for what cannot be kept, such as a stream. */
function packOrNothing(packed: Packed): Uint8Array | undefined {
  try {
    const [step, place, isFailure, came] = packed;
    checkData("answer", came);
    return packr.pack([step, place, isFailure, isFailure ? came : withoutSecrets(came)]);
  } catch {
    return undefined;
  }
}

/** What `pack` made of the calls of one dependency; what cannot be read is left out. */
export function unpackAnswers(dependency: string, bytes: Uint8Array): readonly CallAnswer[] {
  try {
    return (packr.unpack(bytes) as readonly Uint8Array[]).map((entry) => {
      const [step, place, isFailure, came] = packr.unpack(entry) as Packed;
      return { dependency, step: step ?? undefined, place, came: isFailure ? { failure: came as CallFailure } : { response: came } };
    });
  } catch {
    return [];
  }
}
