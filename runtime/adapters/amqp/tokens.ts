/** Tokens that let a connection use an entity: signed with a shared key, or issued to an identity. */
import { createHmac } from "node:crypto";
import { TransportError } from "../../core/errors.ts";
import { sasLifetimeMs } from "./limits.ts";

/** What the identity libraries' credentials look like. */
export interface TokenCredential {
  getToken(scopes: string | string[]): Promise<{ readonly token: string; readonly expiresOnTimestamp: number } | null>;
}

export interface Token {
  /** As put-token names it. */
  readonly type: "servicebus.windows.net:sastoken" | "jwt";
  readonly value: string;
  /** Wall clock. */
  readonly expiresAtMs: number;
}

/** Makes a token for an audience, `sb://HOST/ADDRESS`. */
export type TokenSource = (audience: string, wallMs: number) => Promise<Token>;

const scope = "https://servicebus.azure.net/.default";

/** Signs a token for each audience: HMAC-SHA256 over the encoded audience and the expiry. */
export function sharedKeyTokens(keyName: string, key: string): TokenSource {
  return async (audience, wallMs) => {
    const expiresS = Math.floor((wallMs + sasLifetimeMs) / 1_000);
    const resource = encodeURIComponent(audience);
    const signature = encodeURIComponent(createHmac("sha256", key).update(`${resource}\n${expiresS}`).digest("base64"));
    const value = `SharedAccessSignature sr=${resource}&sig=${signature}&se=${expiresS}&skn=${encodeURIComponent(keyName)}`;
    return { type: "servicebus.windows.net:sastoken", value, expiresAtMs: expiresS * 1_000 };
  };
}

/** A signature that somebody else made: it cannot be renewed, only used until it ends. */
export function sharedSignatureTokens(signature: string): TokenSource {
  const expiresS = Number(/(?:^|[&\s])se=(\d+)/.exec(signature)?.[1] ?? Number.NaN);
  return async (_audience, wallMs) => {
    const expiresAtMs = Number.isFinite(expiresS) ? expiresS * 1_000 : wallMs + sasLifetimeMs;
    if (expiresAtMs <= wallMs)
      throw new TransportError("expected a SharedAccessSignature that is valid, found one that has expired; put a new one into the connection string");
    return { type: "servicebus.windows.net:sastoken", value: signature, expiresAtMs };
  };
}

/** One token of the identity serves every audience; its library caches it. */
export function credentialTokens(credential: TokenCredential): TokenSource {
  return async () => {
    const token = await credential.getToken(scope);
    if (token === null) throw new TransportError("expected the credential to give a token, found none; check the workload's identity");
    return { type: "jwt", value: token.token, expiresAtMs: token.expiresOnTimestamp };
  };
}
