// What a request over HTTP says, checked and encoded. The worker's client sends it, and the test kit holds requests against the same.
import { messageOf } from "../../core/errors.ts";
import { show } from "../author/check-options.ts";
import type { HttpRequest } from "../author/define-dependency.ts";
import { PermanentError } from "../author/errors.ts";

export interface EncodedBody {
  readonly body: string | Uint8Array | null;
  readonly contentType: string | undefined;
}

/** What Node's client takes: anything but blanks, control characters and what is beyond Latin-1. */
const pathPattern = /^\/[\u0021-\u00ff]*$/;
/** Of methods and names of headers. */
const tokenPattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const wrongInHeader = /[^\t\u0020-\u007e\u0080-\u00ff]/;
/** They are the connection's, which many calls share. */
const connectionHeaders: ReadonlySet<string> = new Set(["transfer-encoding", "keep-alive", "upgrade", "expect"]);

function refuse(name: string, expected: string, got: unknown, remedy = "", cause?: unknown): never {
  const found = cause === undefined ? `, got ${show(got)}` : `, found: ${messageOf(cause, 200)}`;
  throw new PermanentError(`${name}: expected ${expected}${found}${remedy}`, { code: "CALL_INVALID", dependency: name, cause });
}

function checkHeader(name: string, header: string, value: unknown): void {
  if (!tokenPattern.test(header)) refuse(name, "headers to have names of HTTP", header);
  if (connectionHeaders.has(header.toLowerCase())) refuse(name, `no header '${header}', which is the connection's`, value);
  for (const one of Array.isArray(value) ? (value as unknown[]) : [value])
    if (
      (typeof one === "object" && one !== null) ||
      typeof one === "function" ||
      typeof one === "symbol" ||
      (typeof one === "string" && wrongInHeader.test(one))
    )
      refuse(name, `headers.${header} to be one line of text in Latin letters`, one, "; encode what comes from an event");
}

/** Throws `PermanentError`: trying again would not change it. */
export function checkRequest(name: string, request: HttpRequest): void {
  const { path, method, headers } = (request ?? {}) as Partial<Record<keyof HttpRequest, unknown>>;
  if (typeof path !== "string" || !path.startsWith("/"))
    refuse(name, "a path that begins with '/'", path, "; write it below the dependency's base URL, as '/charges'");
  if (!pathPattern.test(path)) refuse(name, "a path of characters that a URL may hold", path, "; encode what comes from an event with encodeURIComponent");
  if (typeof method !== "string" || !tokenPattern.test(method)) refuse(name, "a method of HTTP", method, ", such as 'GET'");
  if (typeof headers === "object" && headers !== null) for (const [header, value] of Object.entries(headers)) checkHeader(name, header, value);
}

/** Throws `PermanentError` for what cannot be said. */
export function encodeBody(name: string, body: unknown): EncodedBody {
  if (body === undefined) return { body: null, contentType: undefined };
  if (typeof body === "string") return { body, contentType: "text/plain; charset=utf-8" };
  if (body instanceof Uint8Array) return { body, contentType: "application/octet-stream" };
  try {
    return { body: JSON.stringify(body), contentType: "application/json" };
  } catch (cause) {
    return refuse(name, "a body that JSON can say (a bigint as text)", undefined, "", cause);
  }
}
