/**
 * One call of a dependency: tries under one idempotency key, within the call's total time and what is left of the run's. An
 * open circuit fails it at once, and so does a bulkhead that rejected the run. What comes back unknown is tried again here only where the step's kind allows it.
 */
import type { StepKind } from "../../core/run.ts";
import { traceIdOf, writeTraceparent } from "../../core/trace-context.ts";
import { callDelayMs } from "../../policy/backoff.ts";
import { type SkillError, TransientError } from "../author/errors.ts";
import { asCallError } from "./failure.ts";
import type { PreparedDependency } from "./prepared-skill.ts";
import type { CallTrace } from "./call-trace.ts";
import type { RunHost } from "./run-host.ts";
import { deriveSpan } from "./run-identity.ts";
import type { AllowTry } from "./usage-meter.ts";

/** Failure code of a call that an open circuit refused. */
export const circuitOpenCode = "CIRCUIT_OPEN";

/** Failure code of a call whose run was let in without a slot. */
export const bulkheadFullCode = "BULKHEAD_FULL";

/** State of each dependency's circuit, as the main thread writes it. */
export const circuitStates = { closed: 0, open: 1, halfOpen: 2 } as const;

/** What a call needs to know of its run. */
export interface CallingRun {
  readonly eventId: string;
  readonly epoch: number;
  readonly traceId: string;
  /** Monotonic end of the run's time. */
  readonly deadlineMs: number;
  /** `mayRetryCall` asks the worker's retry budget; called only when a retry is otherwise right. */
  readonly host: Pick<RunHost<never>, "nowMs" | "random" | "after" | "mayRetryCall" | "isCircuitOpen" | "resources">;
  /** It has no slot of this dependency, and none is coming. */
  isRejectedBy(dependency: number): boolean;
  /** Throws when the run has ended or may not act any more. */
  checkMayAct(): void;
  /** Hears the end of the run, until the function it returns is called. */
  onEnd(listener: () => void): () => void;
}

export interface Call {
  readonly request: unknown;
  readonly idempotencyKey: string;
  readonly step: string | undefined;
  /** Undefined outside of steps. */
  readonly stepKind: StepKind | undefined;
  /** Undefined when nothing limits the dependency. */
  readonly allow: AllowTry | undefined;
  /** Undefined when nothing is traced. */
  readonly traced: CallTrace | undefined;
  /** Hears each try that was made, and how long it took. */
  readonly heard: { tried(error: SkillError | undefined, tookMs: number): void };
}

const ended = Symbol("the run has ended");

/** `definite`: nothing was sent. */
function timeout({ name, timeouts }: PreparedDependency, expected: string, definite: boolean): TransientError {
  const message = `${name}: expected ${expected} within totalMs (${timeouts.totalMs} ms) and the run's own time, got none; see what keeps it, or raise dependencies.${name}.timeouts.totalMs`;
  return new TransientError(message, { code: "CALL_TIMEOUT", dependency: name, definite });
}

/** Makes one try and gives up when the time is over or the run ends, whether or not the request function listens. */
async function tryOnce(run: CallingRun, dependency: PreparedDependency, call: Call, attempt: number, endMs: number): Promise<unknown> {
  const controller = new AbortController();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const giveUp = (reason: unknown): void => {
    reject(reason);
    controller.abort(reason);
  };
  const stopListening = run.onEnd(() => giveUp(ended));
  const tooLate = (): void => giveUp(timeout(dependency, "an answer", false));
  const checkMayAct = (): void => {
    run.checkMayAct();
    controller.signal.throwIfAborted();
    if (run.host.nowMs() >= endMs) throw timeout(dependency, "a connection to send it on", true);
  };
  // Where the run ends first, its own end does.
  const timer = endMs < run.deadlineMs ? run.host.after(Math.max(1, endMs - run.host.nowMs()), tooLate) : undefined;
  const { eventId, epoch, traceId } = run;
  const { idempotencyKey, step, traced } = call;
  // Where nothing is traced nothing of this try is kept, and whoever is called must not look for it.
  const traceparent = traced?.trying(attempt) ?? writeTraceparent({ traceId: traceIdOf(traceId), spanId: deriveSpan(idempotencyKey, attempt) }, false);
  try {
    const { use, settings } = run.host.resources.info;
    const info = { idempotencyKey, signal: controller.signal, eventId, step, epoch, traceId, traceparent, attempt, checkMayAct, use, settings };
    return await Promise.race([dependency.request(call.request, info), late]);
  } finally {
    timer?.cancel();
    stopListening();
  }
}

function pause(run: CallingRun, delayMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = run.host.after(delayMs, resolve);
  const stopListening = run.onEnd(() => {
    timer.cancel();
    resolve();
  });
  return promise.finally(stopListening);
}

/** How long to wait before the next try; undefined when there is none. */
function pauseBeforeRetry(run: CallingRun, dependency: PreparedDependency, call: Call, error: SkillError, attempt: number, endMs: number): number | undefined {
  if (!(error instanceof TransientError) || attempt >= dependency.retry.attemptsMax) return undefined;
  const mayRepeat = call.stepKind === undefined || call.stepKind === "keyed" || call.stepKind === "idempotent";
  if (!error.definite && !mayRepeat) return undefined;
  const asked = error.retryAfterMs ?? 0;
  if (asked > dependency.retry.delayMaxMs) return undefined;
  const delayMs = Math.max(
    asked,
    callDelayMs(dependency.retry, attempt, () => run.host.random()),
  );
  return run.host.nowMs() + delayMs < endMs && run.host.mayRetryCall() ? delayMs : undefined;
}

/** A try that the limit does not let pass leaves the call with what came of the one before. */
async function passLimit(run: CallingRun, allow: AllowTry, endMs: number, before: SkillError | undefined): Promise<void> {
  try {
    await allow(Math.max(0, endMs - run.host.nowMs()));
  } catch (refusal) {
    throw before ?? refusal;
  }
  run.checkMayAct();
}

/** Calls the dependency; throws `PermanentError` or `TransientError`, or whatever `checkMayAct` throws once the run has ended. */
export async function callDependency(run: CallingRun, dependency: PreparedDependency, call: Call): Promise<unknown> {
  const endMs = Math.min(run.host.nowMs() + dependency.timeouts.totalMs, run.deadlineMs);
  let before: SkillError | undefined;
  for (let attempt = 1; ; attempt += 1) {
    run.checkMayAct();
    if (run.isRejectedBy(dependency.number)) {
      const message = `${dependency.name}: expected a slot of its bulkhead, found it full; it rejects what finds it so, as its whenFull says`;
      throw new TransientError(message, { code: bulkheadFullCode, dependency: dependency.name });
    }
    if (run.host.isCircuitOpen(dependency.number)) {
      const message = `${dependency.name}: expected its circuit to be closed, found it open; it closes by itself once calls succeed again: the failures before it say why they did not`;
      throw new TransientError(message, { code: circuitOpenCode, dependency: dependency.name });
    }
    if (call.allow !== undefined) await passLimit(run, call.allow, endMs, before);
    const startedMs = run.host.nowMs();
    try {
      const response = await tryOnce(run, dependency, call, attempt, endMs);
      call.heard.tried(undefined, run.host.nowMs() - startedMs);
      call.traced?.tried(undefined, response);
      return response;
    } catch (thrown) {
      if (thrown === ended) run.checkMayAct();
      const error = asCallError(thrown, dependency.name);
      call.heard.tried(error, run.host.nowMs() - startedMs);
      call.traced?.tried(error);
      const delayMs = pauseBeforeRetry(run, dependency, call, error, attempt, endMs);
      if (delayMs === undefined) throw error;
      before = error;
      await pause(run, delayMs);
    }
  }
}
