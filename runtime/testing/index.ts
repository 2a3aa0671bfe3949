/**
 * The test kit: skills tried in every way, and whole workers in a test's process.
 * @module holdfast/testing
 */
import "../core/refuse-old-node.ts";
export { type ProvidedResource, type ProvidedSettings, provide } from "./provide.ts";
export type { MadeCall } from "./stand-in.ts";
export type { DoneBefore, DoneStep, EmittedEvent, Retry, SkillOutcome, TestEvent, TestMessage, TestSession } from "./skill-case.ts";
export {
  type Answer,
  type CallAnswered,
  type CallOfStep,
  type HttpAnswer,
  type OneAnswer,
  type Stub,
  type StubAnswer,
  type StubCall,
  type StubOptions,
  byCall,
  Fault,
  fault,
  inTurn,
  late,
  stub,
} from "./stub.ts";
export { type EveryWayOptions, type EveryWayReport, EveryWayError, type TestSkillOptions, testSkill, type WaysRow } from "./test-skill.ts";
export { type SentOptions, type TestDeadLetter, type TestWorker, type TestWorkerOptions, testWorker } from "./test-worker.ts";
