/**
 * The resources of a thread: each made when it is first asked for, or before the thread takes runs, and closed in reverse when the thread ends.
 * In reverse of when they stood: one that is made of another stands after it, and is closed before.
 */
import type { Clock } from "../../core/clock.ts";
import { ConfigurationError, messageOf } from "../../core/errors.ts";
import { show } from "../author/check-options.ts";
import { type AnyResource, isResource, type Resource, type ResourceInfo } from "../author/define-resource.ts";
import { PermanentError, TransientError } from "../author/errors.ts";

interface Opened {
  readonly resource: Resource<unknown>;
  readonly value: Promise<unknown>;
  isOpen: boolean;
}

export interface ResourceListener {
  /** These are open, or about to be, where others were. */
  readonly opened?: (names: readonly string[]) => void;
  /** One did not close, or was not opened when it should have been. */
  readonly warn?: (text: string) => void;
}

export interface ResourceOptions extends ResourceListener {
  readonly clock: Pick<Clock, "after" | "monotonicMs">;
  /** What they are made with. */
  readonly settings: ResourceInfo["settings"];
  /** What stands in the place of some, which are not made then. */
  readonly provided?: ReadonlyMap<AnyResource, unknown> | undefined;
}

/** All that are opened at the start may take so long together: a thread has 30 s for its start. */
export const startOpenMaxMs = 20_000;
const firstPauseMs = 250;
const pauseMaxMs = 5_000;

export class Resources {
  readonly #options: ResourceOptions;
  readonly #info: ResourceInfo;
  /** In the order in which they stood. */
  readonly #opened = new Map<Resource<unknown>, Opened>();
  readonly #declared = new Set<Resource<unknown>>();
  #isClosed = false;

  constructor(options: ResourceOptions) {
    this.#options = options;
    this.#info = { settings: options.settings, use: this.use };
  }

  get info(): ResourceInfo {
    return this.#info;
  }

  /** Rejects with a `TransientError` when it cannot be made now: that is no failure of the skill. */
  readonly use = <Value>(resource: Resource<Value>): Promise<Value> => {
    if (!isResource(resource)) {
      const message = `use: expected a resource made by defineResource, got ${show(resource)}`;
      return Promise.reject(new PermanentError(message, { code: "RESOURCE_INVALID" }));
    }
    const { provided } = this.#options;
    if (provided?.has(resource) === true) return Promise.resolve(provided.get(resource) as Value);
    if (this.#isClosed) return Promise.reject(unavailable(resource, "its thread is ending"));
    const known = this.#opened.get(resource) ?? this.#open(resource);
    return known.value as Promise<Value>;
  };

  /** Opens those of `declared` that stand from the start. Throws `ConfigurationError` for the first that cannot be had in its time. */
  async openAtStart(declared: readonly AnyResource[]): Promise<void> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + startOpenMaxMs;
    // One that is opened may use one that is declared after it.
    for (const one of declared) this.#declared.add(one as Resource<unknown>);
    for (const one of declared) {
      const resource = one as Resource<unknown>;
      if (resource.openAt === "start") await this.#openWithin(resource, Math.min(endMs, clock.monotonicMs() + resource.openTimeoutMs));
    }
  }

  async #openWithin(resource: Resource<unknown>, endMs: number): Promise<void> {
    const { clock } = this.#options;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMaxMs, pauseMs * 2)) {
      try {
        await this.#within(this.use(resource), Math.max(1, endMs - clock.monotonicMs()));
        return;
      } catch (error) {
        if (error instanceof PermanentError || clock.monotonicMs() + pauseMs >= endMs)
          throw new ConfigurationError(
            `${messageOf(error)}; it is opened at the start, and was tried until its openTimeoutMs was over: see that what it opens can be reached, or open it at its first use`,
            { cause: error },
          );
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      clock.after(pauseMs, resolve);
      await promise;
    }
  }

  #open(resource: Resource<unknown>): Opened {
    if (resource.openAt === "start" && !this.#declared.has(resource) && this.#options.provided === undefined)
      this.#options.warn?.(
        `resource '${resource.name}': expected it in the resources of definePlugin, for it is to be opened at the start; found it in none: it is opened at its first use`,
      );
    const opening = (async () => resource.open(this.#info))();
    const value = this.#within(opening, resource.openTimeoutMs).catch((error: unknown) => {
      this.#opened.delete(resource);
      this.#tell();
      // One that comes after its time is closed, for nobody has it.
      void opening.then(
        (late) => this.#close(resource, late),
        () => undefined,
      );
      throw unavailable(resource, messageOf(error), error);
    });
    const opened: Opened = { resource, value, isOpen: false };
    this.#opened.set(resource, opened);
    value.then(
      () => {
        opened.isOpen = true;
        // Those that it is made of stand before it.
        if (this.#opened.delete(resource)) this.#opened.set(resource, opened);
      },
      () => undefined,
    );
    this.#tell();
    return opened;
  }

  #tell(): void {
    this.#options.opened?.(Array.from(this.#opened.keys(), ({ name }) => name));
  }

  /** Closes all that are open, the last one first; one that is being opened is closed when it is there, and keeps nobody waiting. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { resource, value, isOpen } of [...this.#opened.values()].toReversed()) {
      const closed = value.then(
        (opened) => this.#close(resource, opened),
        () => undefined,
      );
      if (isOpen) await closed;
      this.#opened.delete(resource);
      this.#tell();
    }
  }

  async #close({ name, close, closeTimeoutMs }: Resource<unknown>, value: unknown): Promise<void> {
    if (close === undefined) return;
    try {
      await this.#within((async () => close(value))(), closeTimeoutMs);
    } catch (error) {
      this.#options.warn?.(`resource '${name}': expected it to close, found: ${messageOf(error)}`);
    }
  }

  async #within<Value>(work: Promise<Value>, timeoutMs: number): Promise<Value> {
    const late = Promise.withResolvers<never>();
    const timer = this.#options.clock.after(timeoutMs, () => late.reject(new Error(`it took longer than ${timeoutMs} ms`)));
    try {
      return await Promise.race([work, late.promise]);
    } finally {
      timer.cancel();
    }
  }
}

function unavailable({ name }: Pick<Resource<unknown>, "name">, why: string, cause?: unknown): TransientError {
  return new TransientError(`resource '${name}': expected it to open, found: ${why}`, { code: "RESOURCE_UNAVAILABLE", cause });
}
