/** The time that a skill under test sees by `Date`: that of its test. Whatever else runs in the process sees the machine's. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock } from "../../core/clock.ts";

const current = new AsyncLocalStorage<Pick<Clock, "wallMs">>();
let isInstalled = false;

/** Once a process, and only in those that test skills. */
function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  const Real = globalThis.Date;
  const realNow = Real.now.bind(Real);
  Real.now = (): number => current.getStore()?.wallMs() ?? realNow();
  globalThis.Date = new Proxy(Real, {
    // Mocks of test runners replace `now`: what is there at the time is asked.
    construct: (target, given: readonly unknown[], newTarget) => Reflect.construct(target, given.length === 0 ? [Real.now()] : given, newTarget) as object,
    apply: () => new Real(Real.now()).toString(),
  });
}

/** A test's time, which goes on with the machine's once its worker has ended: what is left behind then, as a database's timer, does not wait for ever. */
export class TestTime {
  readonly #clock: Pick<Clock, "wallMs">;
  #end: { readonly wallMs: number; readonly sinceMs: number } | undefined;

  constructor(clock: Pick<Clock, "wallMs">) {
    this.#clock = clock;
  }

  wallMs(): number {
    return this.#end === undefined ? this.#clock.wallMs() : Math.floor(this.#end.wallMs + performance.now() - this.#end.sinceMs);
  }

  end(): void {
    this.#end ??= { wallMs: this.#clock.wallMs(), sinceMs: performance.now() };
  }
}

/** Runs `work`, and all that comes of it, by this clock. */
export function byClock<Result>(clock: Pick<Clock, "wallMs">, work: () => Result): Result {
  install();
  return current.run(clock, work);
}
