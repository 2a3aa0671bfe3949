import { RunEnded } from "./run-errors.ts";
import { idsOf, runContext } from "./run-context.ts";

/** A run's signal. Its controller is made when the signal is asked for. */
export class RunSignal {
  #controller: AbortController | undefined;
  #isAborted: boolean;

  constructor(isAborted: boolean) {
    this.#isAborted = isAborted;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isAborted) this.#controller.abort(new RunEnded());
    }
    return this.#controller.signal;
  }

  /** Its listeners are the run's own code, whatever aborts it. */
  abort(run: Parameters<typeof idsOf>[0]): void {
    this.#isAborted = true;
    if (this.#controller !== undefined) runContext.run(idsOf(run), () => this.#controller?.abort(new RunEnded()));
  }
}
