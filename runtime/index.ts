/**
 * What skills, plugins, configurations and programs import. Plugins import this and nothing deeper.
 * @module holdfast
 */
import "./core/refuse-old-node.ts";
export type { EventEnvelope } from "./core/event-envelope.ts";
export type { Config, ConfigInput } from "./core/config.ts";
export { defineConfig } from "./core/define-config.ts";
export type { EnvelopeHook, EnvelopeSource, HookedEnvelope } from "./core/envelope-hook.ts";
export { ConfigurationError, HoldfastError, InvalidEventError, SendError, StoreUnavailableError, TransportError } from "./core/errors.ts";
export type { LimitPolicy, LimitScope } from "./core/limits.ts";
export type { RuntimeEvent } from "./core/catalogue.ts";
export type { ListedPlugin, PluginObject } from "./core/plugin-object.ts";
export { type CreateWorkerOptions, type EmbeddedWorker, type WorkerHealth, createWorker } from "./embed/create-worker.ts";
export { createProducer } from "./embed/create-producer.ts";
export type {
  BatchedEvent,
  Contracts,
  EventContract,
  PayloadOf,
  Producer,
  ProducerConfig,
  ScheduledEvent,
  ScheduleOptions,
  SendOptions,
  SentEvent,
  SentPayload,
} from "./embed/producer-types.ts";
export type { MessageSettled, WorkerEvent, WorkerEventOf } from "./embed/worker-events.ts";
export { platformEventSchema } from "./core/platform-catalogue.ts";
export type { SkillMessage } from "./core/skill-message.ts";
export type { StepKind, StepQuality } from "./core/run.ts";
export { type BulkheadPolicy, type CircuitPolicy, type RetryPolicy, defaultBulkheadPolicy, defaultCircuitPolicy, defaultRetryPolicy } from "./core/skill.ts";
export type {
  CallOptions,
  Compensate,
  CompensationContext,
  EmitOptions,
  Fallback,
  FallbackRules,
  LogLevel,
  ReplyOptions,
  SkillContext,
  SkillSession,
  SkillLog,
  StepContext,
  StepEffect,
  StepOptions,
  TransactionalEffect,
  TransactionalOptions,
} from "./skills/author/context.ts";
export {
  type CallInfo,
  type CallSchemas,
  type CallRetry,
  type CallTimeouts,
  type CustomDependencyOptions,
  type Dependency,
  type DependencyOptions,
  type HttpDependency,
  type HttpDependencyOptions,
  type HttpRequest,
  type HttpResponse,
  type RequestFunction,
  defaultCallRetry,
  defaultCallTimeouts,
  defaultResponseBytesMax,
  defineDependency,
} from "./skills/author/define-dependency.ts";
export { type AnyResource, type Resource, type ResourceInfo, type ResourceOptions, defineResource } from "./skills/author/define-resource.ts";
export { type Settings, type SettingsOptions, type SettingsReader, defineSettings } from "./skills/author/define-settings.ts";
export type { JsonSchema, PayloadSchema } from "./skills/author/schema.ts";
export * from "./skills/author/event-contracts.ts";
export { type Plugin, type PluginOptions, definePlugin } from "./skills/author/define-plugin.ts";
export {
  type Emits,
  type Handles,
  type Isolation,
  type Skill,
  type SkillOptions,
  defaultIsolation,
  defaultSkillTimeoutMs,
  defaultVersions,
  defineSkill,
} from "./skills/author/define-skill.ts";
export type { TransactionalDatabase, TransactionalStep } from "./skills/author/transactional.ts";
export { PermanentError, SkillError, type SkillErrorOptions, TransientError, type TransientErrorOptions } from "./skills/author/errors.ts";
export type { ChainFallback, StepChain } from "./skills/author/step-chain.ts";
export type { VersionRange } from "./skills/author/version-range.ts";
