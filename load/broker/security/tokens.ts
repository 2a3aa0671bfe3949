// Shared access signatures: who signed what, and until when. A signature covers the resource as it is written in the token
// and the time at which it ends, with one of the broker's keys.
import { createHmac, timingSafeEqual } from "node:crypto";

export interface AccessKey {
  readonly name: string;
  readonly key: string;
}

/** The key of the vendor's emulator, which its connection strings carry. */
export const emulatorKey: AccessKey = { name: "RootManageSharedAccessKey", key: "SAS_KEY_VALUE" };

/** What a token is good for, or why it is not. */
export type Verdict = { readonly ok: true; readonly resource: string; readonly expiresAtMs: number } | { readonly ok: false; readonly reason: string };

export class TokenVerifier {
  /** Whether clients must show who they are, because keys were configured. */
  readonly isRequired: boolean;
  readonly #keys: ReadonlyMap<string, string>;
  readonly #nowMs: () => number;

  /** @param keys undefined = the emulator's key, and clients need not show it */
  constructor(keys: readonly AccessKey[] | undefined, nowMs: () => number) {
    this.isRequired = keys !== undefined;
    this.#keys = new Map((keys ?? [emulatorKey]).map(({ name, key }) => [name, key]));
    this.#nowMs = nowMs;
  }

  /** Whether a name and a key belong together. */
  knows(name: string, key: string): boolean {
    const known = this.#keys.get(name);
    return known !== undefined && isSame(known, key);
  }

  /** @param audience what the token is shown for; it must lie at or below the token's resource */
  verify(token: string, audience: string): Verdict {
    const fields = fieldsOf(token);
    const [resource, signature, expiry, name] = ["sr", "sig", "se", "skn"].map((field) => fields.get(field));
    if (resource === undefined || signature === undefined || expiry === undefined || name === undefined) {
      return { ok: false, reason: "MalformedToken: The token must be a SharedAccessSignature with sr, sig, se and skn." };
    }
    const key = this.#keys.get(name);
    if (key === undefined) return { ok: false, reason: `InvalidSignature: There is no key named '${name}'.` };
    const expected = createHmac("sha256", key).update(`${resource}\n${expiry}`).digest("base64");
    if (!isSame(expected, decode(signature))) return { ok: false, reason: "InvalidSignature: The token has an invalid signature." };
    const expiresAtMs = Number(expiry) * 1000;
    if (!(expiresAtMs > this.#nowMs())) return { ok: false, reason: "ExpiredToken: The token is expired." };
    const covered = placeOf(decode(resource));
    if (!isBelow(placeOf(audience), covered)) return { ok: false, reason: `InvalidAudience: The token is for '${covered}' and not for '${audience}'.` };
    return { ok: true, resource: covered, expiresAtMs };
  }
}

/** The fields of a token, as they are written. */
function fieldsOf(token: string): Map<string, string> {
  const text = /^SharedAccessSignature\s+(.*)$/s.exec(token.trim())?.[1] ?? "";
  return new Map(text.split("&").map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A resource's host and path, without scheme, port, query and outer slashes, in lower case. */
function placeOf(resource: string): string {
  const [place = ""] = resource
    .toLowerCase()
    .replace(/^[a-z]+:\/\//, "")
    .split("?");
  return place.replace(/:\d+(?=\/|$)/, "").replace(/\/+$/, "");
}

function isBelow(place: string, covering: string): boolean {
  return place === covering || place.startsWith(`${covering}/`);
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
