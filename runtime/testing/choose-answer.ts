/** Which of a stub's answers a call gets. */
import { placeOfCall } from "../skills/host/run-identity.ts";
import { ByCall, type CallOfStep, InTurn, type StubCall } from "./stub.ts";

/** `why`: nothing is there for this call. */
export type Chosen = { readonly found: true; readonly answer: unknown } | { readonly found: false; readonly why: string; readonly remedy: string };

/** As `placeOfCall` has it. */
function placeOf({ number = 1, query = false, fallback }: CallOfStep): string {
  const part = query ? "?" : fallback === undefined ? "" : `-${fallback}`;
  return number === 1 ? part : `${part}-${number}`;
}

/** What `byCall` is told of a call that is known by its place. */
export function callOfPlace(step: string | undefined, place: string): CallOfStep {
  const [, query, fallback, number] = /^(\?)?(?:-(?!\d+$)(.*?))?(?:-(\d+))?$/.exec(place) ?? [];
  return {
    ...(step === undefined ? {} : { step }),
    ...(query === undefined ? {} : { query: true }),
    ...(fallback === undefined ? {} : { fallback }),
    ...(number === undefined ? {} : { number: Number(number) }),
  };
}

/** Of one test, or one process: it knows how often answers in turn were asked for. */
export class AnswerChoice {
  readonly #asked = new Map<InTurn<unknown, unknown>, number>();
  readonly #beginsAgain: boolean;

  /** `beginsAgain`: after the last answer in turn comes the first one. */
  constructor(beginsAgain = false) {
    this.#beginsAgain = beginsAgain;
  }

  choose(answer: unknown, call: Pick<StubCall<unknown>, "step" | "idempotencyKey">): Chosen {
    if (answer instanceof InTurn) return this.#next(answer);
    if (!(answer instanceof ByCall)) return { found: true, answer };
    const place = placeOfCall(call.idempotencyKey);
    const own = answer.calls.find((one) => one.step === call.step && placeOf(one) === place);
    if (own !== undefined) return { found: true, answer: own.answer };
    if (answer.others !== undefined) return this.choose(answer.others.answer, call);
    const said = JSON.stringify(callOfPlace(call.step, place));
    return {
      found: false,
      why: "expected a call that byCall has an answer for, the skill made another",
      remedy: `give byCall an answer for ${said}, or a stub of others`,
    };
  }

  #next(turn: InTurn<unknown, unknown>): Chosen {
    const before = this.#asked.get(turn) ?? 0;
    this.#asked.set(turn, before + 1);
    const { length } = turn.answers;
    if (before >= length && !this.#beginsAgain)
      return { found: false, why: `expected ${length} calls, the skill made one more`, remedy: "give inTurn an answer for it" };
    return { found: true, answer: turn.answers[before % length] };
  }
}
