/** What can happen to a run: trouble at each call that it makes, each call failing in each way, its event sent again. */
import type { FailureClass } from "../core/failure-class.ts";
import { PermanentError, TransientError } from "../skills/author/errors.ts";
import type { Skill } from "../skills/author/define-skill.ts";
import type { CaseOptions, CaseReport } from "./skill-case.ts";
import { type Fault, fault } from "./stub.ts";
import type { Moment } from "./world/io-points.ts";

/** One way for a case to go. */
export interface Way {
  /** Names its kind, for the table. */
  readonly kind: string;
  /** Says what happens; names the way for `only`. */
  readonly what: string;
  readonly options: Partial<CaseOptions>;
  /**
   * What it may change. `nothing`: the end, the results, the effects and the events are the same. `effects`: a failure that may rightly lead elsewhere, to a
   * dead letter or a fallback; each effect still happens once.
   */
  readonly mayChange: "nothing" | "end";
  /** An effect may have happened that nobody heard of: a step that must not be repeated parks its run. */
  readonly leavesDoubt: boolean;
}

const moments: Readonly<Record<Moment, { readonly kind: string; readonly what: string; readonly leavesDoubt: boolean }>> = {
  before: { kind: "worker killed before a call", what: "the worker is killed before", leavesDoubt: true },
  after: { kind: "worker killed after a call", what: "the worker is killed after the answer of", leavesDoubt: true },
  "reply-lost": { kind: "worker killed in a call", what: "the worker is killed before the answer of", leavesDoubt: true },
  unheard: { kind: "answer lost", what: "the answer is lost of", leavesDoubt: true },
  "thread-before": { kind: "thread lost before a call", what: "the thread is lost before", leavesDoubt: true },
  "thread-after": { kind: "thread lost in a call", what: "the thread is lost before the answer of", leavesDoubt: true },
};

interface Failure {
  readonly what: string;
  readonly class: FailureClass;
  readonly fault: () => Fault;
  readonly mayChange: Way["mayChange"];
  readonly leavesDoubt: boolean;
}

/** Each class of failures that a call can have, where a call can; `poison` is the message's own. */
const failures: readonly Failure[] = [
  { what: "is refused a connection", class: "unavailable", fault: fault.refused, mayChange: "nothing", leavesDoubt: false },
  {
    what: "breaks before it is carried out",
    class: "outcome-unknown",
    fault: () => fault.reset({ carriedOut: false }),
    mayChange: "nothing",
    leavesDoubt: true,
  },
  { what: "breaks after it was carried out", class: "outcome-unknown", fault: () => fault.reset(), mayChange: "nothing", leavesDoubt: true },
  { what: "is carried out and not answered, past its time-out", class: "outcome-unknown", fault: fault.silent, mayChange: "nothing", leavesDoubt: true },
  { what: "is called off", class: "cancelled", fault: () => fault.thrown(calledOff()), mayChange: "nothing", leavesDoubt: true },
  {
    what: "fails as something that may pass",
    class: "transient",
    fault: () => fault.thrown(new TransientError("not now", { code: "TRANSIENT" })),
    mayChange: "nothing",
    leavesDoubt: false,
  },
  {
    what: "fails for good",
    class: "permanent",
    fault: () => fault.thrown(new PermanentError("refused by the test", { code: "REFUSED" })),
    mayChange: "end",
    leavesDoubt: false,
  },
];
const httpFailures: readonly Failure[] = [
  { what: "is answered with 503", class: "unavailable", fault: () => fault.status(503), mayChange: "nothing", leavesDoubt: true },
  {
    what: "is answered with 429 and Retry-After",
    class: "throttled",
    fault: () => fault.status(429, { headers: { "retry-after": "2" } }),
    mayChange: "nothing",
    leavesDoubt: false,
  },
];
const otherFailures: readonly Failure[] = [
  {
    what: "is asked to wait",
    class: "throttled",
    fault: () => fault.thrown(new TransientError("too many calls", { code: "HTTP_429", retryAfterMs: 2_000 })),
    mayChange: "nothing",
    leavesDoubt: false,
  },
];

function calledOff(): Error {
  return Object.assign(new Error("called off by the test"), { name: "AbortError", code: "ABORT_ERR" });
}

/** What can become of a call of a dependency, over HTTP or by a request function. */
export function callFailuresOf(isHttp: boolean): readonly Failure[] {
  return [...failures, ...(isHttp ? httpFailures : otherFailures)];
}

function* duplicates({ points, tookMs, calls }: CaseReport): Generator<Way> {
  const during = calls[0]?.atMs ?? Math.ceil(tookMs / 2);
  const times: readonly (readonly [what: string, atMs: number])[] = [
    ["twice at once", 0],
    ["again while it runs", during],
    ["again after its end", tookMs + 1_000],
  ];
  if (points.length === 0) return;
  for (const [what, atMs] of times)
    yield { kind: "event sent twice", what: `the event is sent ${what}`, options: { duplicatesAtMs: [atMs] }, mayChange: "nothing", leavesDoubt: false };
}

function* crashes({ points }: CaseReport, successor: Skill | undefined): Generator<Way> {
  for (const [index, { name, moments: possible }] of points.entries()) {
    for (const moment of possible) {
      const { kind, what, leavesDoubt } = moments[moment];
      const crash = { number: index + 1, moment };
      yield { kind, what: `${what} '${name}' (${index + 1})`, options: { crashes: [crash] }, mayChange: "nothing", leavesDoubt };
      if (successor === undefined || moment !== "after") continue;
      const text = `${what} '${name}' (${index + 1}), and the changed skill follows`;
      yield { kind: "resumed by the changed skill", what: text, options: { crashes: [crash], successor }, mayChange: "end", leavesDoubt: true };
    }
  }
}

function* callFailures({ calls }: CaseReport, isHttp: (dependency: string) => boolean): Generator<Way> {
  for (const [index, { dependency, step }] of calls.entries()) {
    const call = `call ${index + 1}, of ${dependency}${step === undefined ? " outside of steps" : ` in step '${step}'`},`;
    for (const { what, fault: make, mayChange, leavesDoubt } of callFailuresOf(isHttp(dependency)))
      yield { kind: `call ${what}`, what: `${call} ${what}`, options: { fault: { number: index + 1, fault: make() } }, mayChange, leavesDoubt };
  }
}

/** All ways that a case can go, by how it went undisturbed. */
export function* waysOf(undisturbed: CaseReport, skill: Skill, successor: Skill | undefined): Generator<Way> {
  const http = new Set(skill.uses.filter(({ request }) => request === undefined).map(({ name }) => name));
  yield* duplicates(undisturbed);
  yield* crashes(undisturbed, successor);
  yield* callFailures(undisturbed, (dependency) => http.has(dependency));
}
