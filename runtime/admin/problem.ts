/** What a call is refused with, as `application/problem+json` (RFC 9457) tells it. */
export type ProblemKind =
  | "bad-request"
  | "no-token"
  | "bad-token"
  | "forbidden"
  | "foreign-host"
  | "not-found"
  | "conflict"
  | "wrong-count"
  | "changed-meanwhile"
  | "needs-if-match"
  | "too-large"
  | "wrong-type"
  | "too-many"
  | "failed"
  | "unavailable";

const kinds: Readonly<Record<ProblemKind, { readonly status: number; readonly title: string }>> = {
  "bad-request": { status: 400, title: "The request is not as the API describes it" },
  "no-token": { status: 401, title: "A bearer token is needed" },
  "bad-token": { status: 401, title: "The bearer token is not accepted" },
  forbidden: { status: 403, title: "The caller has not the role that this needs" },
  "foreign-host": { status: 403, title: "The request comes by a name or from a page that is not this server's" },
  "not-found": { status: 404, title: "There is no such thing" },
  conflict: { status: 409, title: "It cannot be done as things stand" },
  "wrong-count": { status: 409, title: "There are not as many as were expected" },
  "changed-meanwhile": { status: 412, title: "It has changed since it was read" },
  "needs-if-match": { status: 428, title: "If-Match is needed" },
  "too-large": { status: 413, title: "The body is too large" },
  "wrong-type": { status: 415, title: "The body is not JSON" },
  "too-many": { status: 429, title: "Too many requests" },
  failed: { status: 500, title: "It failed" },
  unavailable: { status: 503, title: "What it needs does not answer" },
};

export class Problem extends Error {
  readonly kind: ProblemKind;
  /** Further members. */
  readonly more: object;
  /** When to try again, in seconds. */
  readonly retryAfter: number | undefined;

  constructor(kind: ProblemKind, detail: string, more: object = {}, retryAfter?: number) {
    super(detail);
    this.kind = kind;
    this.more = more;
    this.retryAfter = retryAfter;
  }

  get status(): number {
    return kinds[this.kind].status;
  }

  body(): Readonly<Record<string, unknown>> {
    const { status, title } = kinds[this.kind];
    return { ...this.more, type: `urn:holdfast:problem:${this.kind}`, title, status, detail: this.message };
  }
}
