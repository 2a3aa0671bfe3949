// The resources of a thread: each made when it is first asked for, and closed in reverse when the thread ends.
import type { Clock } from "../../core/clock.ts";
import { messageOf } from "../../core/errors.ts";
import { show } from "../author/check-options.ts";
import { isResource, type Resource } from "../author/define-resource.ts";
import { PermanentError, TransientError } from "../author/errors.ts";

interface Opened {
  readonly resource: Resource<unknown>;
  readonly value: Promise<unknown>;
  isOpen: boolean;
}

export interface ResourceListener {
  /** One is open, or about to be, where none was. */
  readonly opened?: () => void;
  /** One did not close. */
  readonly warn?: (text: string) => void;
}

export class Resources {
  readonly #clock: Pick<Clock, "after">;
  readonly #listener: ResourceListener;
  /** In the order of opening. */
  readonly #opened = new Map<Resource<unknown>, Opened>();
  #isClosed = false;

  constructor(clock: Pick<Clock, "after">, listener: ResourceListener = {}) {
    this.#clock = clock;
    this.#listener = listener;
  }

  /** Rejects with a `TransientError` when it cannot be made now: that is no failure of the skill. */
  readonly use = <Value>(resource: Resource<Value>): Promise<Value> => {
    if (!isResource(resource)) {
      const message = `use: expected a resource made by defineResource, got ${show(resource)}`;
      return Promise.reject(new PermanentError(message, { code: "RESOURCE_INVALID" }));
    }
    if (this.#isClosed) return Promise.reject(unavailable(resource, "its thread is ending"));
    const known = this.#opened.get(resource) ?? this.#open(resource);
    return known.value as Promise<Value>;
  };

  #open(resource: Resource<unknown>): Opened {
    const opening = (async () => resource.open())();
    const value = this.#within(opening, resource.openTimeoutMs).catch((error: unknown) => {
      this.#opened.delete(resource);
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
      () => (opened.isOpen = true),
      () => undefined,
    );
    if (this.#opened.size === 1) this.#listener.opened?.();
    return opened;
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
    }
    this.#opened.clear();
  }

  async #close({ name, close, closeTimeoutMs }: Resource<unknown>, value: unknown): Promise<void> {
    if (close === undefined) return;
    try {
      await this.#within((async () => close(value))(), closeTimeoutMs);
    } catch (error) {
      this.#listener.warn?.(`resource '${name}': expected it to close, found: ${messageOf(error)}`);
    }
  }

  async #within<Value>(work: Promise<Value>, timeoutMs: number): Promise<Value> {
    const late = Promise.withResolvers<never>();
    const timer = this.#clock.after(timeoutMs, () => late.reject(new Error(`it took longer than ${timeoutMs} ms`)));
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
