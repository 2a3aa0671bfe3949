/** Calls the API for an agent, with the agent's own token: the API knows who it is, says what it may do, and keeps what it did. */
import { messageOf } from "../../core/errors.ts";
import { type ApiTool, stateArgument } from "./tools.ts";

export interface ApiClientOptions {
  /** Of the admin server; without a path. */
  readonly url: string;
  /** Asked for each call, since tokens are replaced. */
  readonly token: () => string | undefined;
}

export interface Told {
  readonly isRefused: boolean;
  /** What the API answered: a problem's members where it refused. */
  readonly body: unknown;
}

type Arguments = Readonly<Record<string, unknown>>;

const answerWithinMs = 35_000;
const dots = /^\.{1,2}$/;

export class ApiClient {
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.#options = options;
  }

  async call(tool: ApiTool, given: Arguments): Promise<Told> {
    const rest = new Map(Object.entries(given));
    const etag = rest.get(stateArgument);
    rest.delete(stateArgument);
    let wrong: string | undefined;
    const path = tool.path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => {
      const value = rest.get(name);
      rest.delete(name);
      // An address with dots alone as a part of its path is that of another operation.
      if ((typeof value !== "string" && typeof value !== "number") || value === "" || dots.test(String(value)))
        wrong ??= `expected '${name}' to be a text, found ${JSON.stringify(value) ?? "nothing"}`;
      return encodeURIComponent(String(value));
    });
    if (wrong !== undefined) return refused(wrong);
    const query = new URLSearchParams();
    for (const [name, value] of rest) {
      // What an operation without a body does not know goes there as well, and is refused by its name.
      if (!tool.query.has(name) && tool.hasBody) continue;
      query.set(name, typeof value === "string" ? value : JSON.stringify(value));
      rest.delete(name);
    }
    const search = query.size === 0 ? "" : `?${query.toString()}`;
    return this.#ask(tool.method, `/api/v1${path}${search}`, tool.hasBody ? Object.fromEntries(rest) : undefined, etag);
  }

  async #ask(method: string, path: string, body: object | undefined, etag: unknown): Promise<Told> {
    const { url, token } = this.#options;
    try {
      const shown = token();
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          ...(shown === undefined ? {} : { authorization: `Bearer ${shown}` }),
          ...(typeof etag === "string" ? { "if-match": etag } : {}),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: "error",
        signal: AbortSignal.timeout(answerWithinMs),
      });
      const answer: unknown = await response.json();
      const state = response.headers.get("etag");
      return { isRefused: !response.ok, body: state === null || !isObject(answer) ? answer : { ...answer, [stateArgument]: state } };
    } catch (error) {
      return refused(`expected the admin server on ${url} to answer, found ${messageOf(error, 300)}; see whether the worker runs and where it listens`);
    }
  }
}

function refused(detail: string): Told {
  return { isRefused: true, body: { title: "It was not asked", detail } };
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
