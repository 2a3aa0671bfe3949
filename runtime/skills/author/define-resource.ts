// What a skill needs that is made once and closed again: a database pool, a client, a model.
import { checkFunction, checkKeys, checkName, checkNumber } from "./check-options.ts";

export interface ResourceOptions<Value> {
  /** 1 to 64 characters of `A-Z a-z 0-9 . _ -`, beginning with a letter; for people to read. */
  readonly name: string;
  /** Makes it: once in each thread, when a run asks for it first. What it throws fails the call of `use`, and the next one tries again. */
  readonly open: () => Promise<Value> | Value;
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
  readonly close: ((value: Value) => unknown) | undefined;
}

const openTimeoutDefaultMs = 30_000;
const closeTimeoutDefaultMs = 2_000;

/** Defines a resource; skills get it by `context.use`, request functions by `info.use`. Throws `ConfigurationError`. */
export function defineResource<Value>(options: ResourceOptions<Value>): Resource<Value> {
  checkKeys("resource", options, ["name", "open", "close", "openTimeoutMs", "closeTimeoutMs"]);
  const { open, close, openTimeoutMs = openTimeoutDefaultMs, closeTimeoutMs = closeTimeoutDefaultMs } = options;
  const name = checkName("resource.name", options.name);
  const owner = `resource '${name}'`;
  checkFunction(`${owner}.open`, open);
  if (close !== undefined) checkFunction(`${owner}.close`, close);
  checkNumber(`${owner}.openTimeoutMs`, openTimeoutMs, { min: 1, max: 600_000 });
  checkNumber(`${owner}.closeTimeoutMs`, closeTimeoutMs, { min: 1, max: 60_000 });
  return Object.freeze({ kind: "holdfast.resource", name, open, close, openTimeoutMs, closeTimeoutMs });
}

export function isResource(value: unknown): value is Resource<unknown> {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "holdfast.resource";
}
