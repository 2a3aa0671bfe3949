// Shared access signatures: who signed what, and until when. A signature covers the resource as it is written in the token
// and the time at which it ends, with one of the broker's keys.
import { createHmac } from "node:crypto";
import { type AccessKey, emulatorKey, type Grant, grantOf, isAt, isGranted, isSame } from "./keys.ts";

/** What a token is good for, or why it is not. */
export type Verdict = { readonly ok: true; readonly grant: Grant; readonly expiresAtMs: number } | { readonly ok: false; readonly reason: string };

/** What clients of the real service get. It does not say whether the key or the signature was wrong. */
const invalidSignature: Verdict = { ok: false, reason: "InvalidSignature: The token has an invalid signature." };

export class TokenVerifier {
  /** Whether clients must show who they are, because keys were configured. */
  readonly isRequired: boolean;
  readonly #keys: readonly AccessKey[];
  readonly #nowMs: () => number;

  /** @param keys undefined = the emulator's key, and clients need not show it */
  constructor(keys: readonly AccessKey[] | undefined, nowMs: () => number) {
    this.isRequired = keys !== undefined;
    this.#keys = keys ?? [emulatorKey];
    this.#nowMs = nowMs;
  }

  /** What whoever shows a name and a key may do; undefined when they do not belong together. */
  login(name: string, key: string): Grant | undefined {
    const found = this.#keys.filter((known) => known.name === name).find((known) => isSame(known.key, key));
    return found === undefined ? undefined : grantOf(found);
  }

  /** @param audience what the token is shown for; it must lie at or below the token's resource */
  verify(token: string, audience: string): Verdict {
    const fields = fieldsOf(token);
    const [resource, signature, expiry, name] = ["sr", "sig", "se", "skn"].map((field) => fields.get(field));
    if (resource === undefined || signature === undefined || expiry === undefined || name === undefined) {
      return { ok: false, reason: "MalformedToken: The token must be a SharedAccessSignature with sr, sig, se and skn." };
    }
    const key = this.#keys.filter((known) => known.name === decode(name)).find((known) => isSame(signatureOf(known.key, resource, expiry), decode(signature)));
    if (key === undefined) return invalidSignature;
    const expiresAtMs = Number(expiry) * 1000;
    if (!(expiresAtMs > this.#nowMs())) return { ok: false, reason: "ExpiredToken: The token is expired." };
    // Clients over HTTP sign a path that is encoded already, and encode it once more for the token.
    const [covered, wanted] = [placeOf(decode(decode(resource))), placeOf(audience)];
    if (!isAt(wanted, covered)) return { ok: false, reason: `InvalidAudience: The token is for '${covered}' and not for '${audience}'.` };
    const grant = grantOf(key);
    const path = pathOf(wanted);
    // Tokens for the namespace by a key of one entity open that entity alone.
    if (isGranted(path, grant)) return { ok: true, grant: { ...grant, place: path }, expiresAtMs };
    if (isAt(grant.place, path)) return { ok: true, grant, expiresAtMs };
    return invalidSignature;
  }
}

/** A token for whoever calls the broker over HTTP. */
export function signToken(resource: string, { name, key }: Pick<AccessKey, "name" | "key">, expiresAtMs: number): string {
  const [place, expiry] = [encodeURIComponent(resource), String(Math.ceil(expiresAtMs / 1000))];
  return `SharedAccessSignature sr=${place}&sig=${encodeURIComponent(signatureOf(key, place, expiry))}&se=${expiry}&skn=${encodeURIComponent(name)}`;
}

function signatureOf(key: string, resource: string, expiry: string): string {
  return createHmac("sha256", key).update(`${resource}\n${expiry}`).digest("base64");
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

/** A place without its host. */
function pathOf(place: string): string {
  return place.slice(place.includes("/") ? place.indexOf("/") + 1 : place.length);
}
