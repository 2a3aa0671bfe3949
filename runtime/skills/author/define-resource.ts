// What a skill needs that is made once and closed again: a database pool, a client, a model.
import { checkFunction, checkKeys, checkName, checkNumber, checkOneOf } from "./check-options.ts";
import type { SettingsReader } from "./define-settings.ts";

/** What is there when something is made in a thread, and in request functions: its settings, and the resources of the thread. */
export interface ResourceInfo extends SettingsReader {
  /** A resource of the thread, as `context.use` gives it. One that is used in making another is closed after it. */
  readonly use: <Value>(resource: Resource<Value>) => Promise<Value>;
}

/** What `defineResource` takes. */
export interface ResourceOptions<Value> {
  /** 1 to 64 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter; for people to read. */
  readonly name: string;
  /** Makes it, once in each thread. What it throws fails the call of `use`, and the next one tries again. */
  readonly open: (info: ResourceInfo) => Promise<Value> | Value;
  /**
   * `first-use`: it is made when a run asks for it first. `start`: before the thread takes runs, tried again with pauses for `openTimeoutMs` and 20 s at most; one that cannot be
   * made keeps the thread from starting, and its plugin has to declare it. Default `first-use`.
   */
  readonly openAt?: "first-use" | "start";
  /** Gives it back when the thread ends in order: after the runs, and the resource that was opened last first. */
  readonly close?: (value: Value) => unknown;
  /** Milliseconds until an `open` counts as failed; 1 to 600 000. Default 30 s. */
  readonly openTimeoutMs?: number;
  /** Milliseconds until nobody waits for `close` any more; 1 to 60 000. Default 2 s. The thread itself waits `stuckThreads.endWithinMs` for all of them. */
  readonly closeTimeoutMs?: number;
}

/** Made by `defineResource`. */
export interface Resource<Value> extends Required<Omit<ResourceOptions<Value>, "close">> {
  readonly kind: "holdfast.resource";
  /** Undefined for what nobody has to give back. */
  readonly close: ((value: Value) => unknown) | undefined;
}

/** A resource, whatever it makes. */
export interface AnyResource extends Omit<Resource<unknown>, "open" | "close"> {
  /** Makes it; see `ResourceOptions`. */
  readonly open: (info: ResourceInfo) => unknown;
  /** Undefined for what nobody has to give back. */
  readonly close: ((value: never) => unknown) | undefined;
}

const openTimeoutDefaultMs = 30_000;
const closeTimeoutDefaultMs = 2_000;

/** Defines a resource; skills get it by `context.use`, request functions, `warmUp` and other resources by `use` of what they are given. Throws `ConfigurationError`. */
export function defineResource<Value>(options: ResourceOptions<Value>): Resource<Value> {
  checkKeys("resource", options, ["name", "open", "openAt", "close", "openTimeoutMs", "closeTimeoutMs"]);
  const { open, openAt = "first-use", close, openTimeoutMs = openTimeoutDefaultMs, closeTimeoutMs = closeTimeoutDefaultMs } = options;
  const name = checkName("resource.name", options.name);
  const owner = `resource '${name}'`;
  checkFunction(`${owner}.open`, open);
  if (close !== undefined) checkFunction(`${owner}.close`, close);
  checkNumber(`${owner}.openTimeoutMs`, openTimeoutMs, { min: 1, max: 600_000 });
  checkNumber(`${owner}.closeTimeoutMs`, closeTimeoutMs, { min: 1, max: 60_000 });
  checkOneOf(`${owner}.openAt`, openAt, ["first-use", "start"]);
  return Object.freeze({ kind: "holdfast.resource", name, open, openAt, close, openTimeoutMs, closeTimeoutMs });
}

export function isResource(value: unknown): value is Resource<unknown> {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "holdfast.resource";
}
