/** Answers what runs ask for and their threads do not have: the state of a session, and what their message was. */
import { skillMessageOf } from "../core/skill-message.ts";
import type { Executor, QuestionAnswer, RunQuestion } from "../ports/executor.ts";
import type { InFlight } from "./in-flight.ts";

export interface QuestionsOptions {
  readonly executor: Pick<Executor, "tell">;
  readonly inFlight: InFlight;
}

export class Questions {
  readonly #options: QuestionsOptions;

  constructor(options: QuestionsOptions) {
    this.#options = options;
  }

  hear(questions: readonly RunQuestion[]): void {
    for (const question of questions) void this.#answer(question);
  }

  async #answer({ runId, requestId, about }: RunQuestion): Promise<void> {
    const { executor, inFlight } = this.#options;
    const work = inFlight.get(runId);
    let said: QuestionAnswer["said"];
    switch (about) {
      case "state":
        said = await work?.turn?.readState().catch(() => undefined);
        break;
      case "message":
        said = work === undefined ? undefined : skillMessageOf(work.delivery);
        break;
    }
    executor.tell([{ runId, requestId, said }]);
  }
}
