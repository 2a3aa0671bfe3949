/** Reads the states of sessions for runs that ask for them. */
import type { Executor, StateRequest } from "../ports/executor.ts";
import type { InFlight } from "./in-flight.ts";

export interface SessionStatesOptions {
  readonly executor: Pick<Executor, "giveStates">;
  readonly inFlight: InFlight;
}

export class SessionStates {
  readonly #options: SessionStatesOptions;

  constructor(options: SessionStatesOptions) {
    this.#options = options;
  }

  read(requests: readonly StateRequest[]): void {
    for (const request of requests) void this.#read(request);
  }

  async #read({ runId, requestId }: StateRequest): Promise<void> {
    const { executor, inFlight } = this.#options;
    const turn = inFlight.get(runId)?.turn;
    const state = await turn?.readState().catch(() => undefined);
    executor.giveStates([{ runId, requestId, state }]);
  }
}
