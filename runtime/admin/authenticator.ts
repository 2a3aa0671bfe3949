/**
 * Who calls. With `auth`, a bearer token says so: a JWT, signed by one of the issuer's keys with an asymmetric algorithm, for this
 * audience, and not past its end. Without it, everyone who reaches the server may do everything; it listens on loopback alone then.
 */
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from "jose";
import { type AdminAuthSettings, type AdminRole, adminRoles } from "../core/config/admin.ts";
import { messageOf } from "../core/errors.ts";
import type { Tenants } from "../core/tenants.ts";
import { Problem } from "./problem.ts";

export interface Caller {
  /** For the audit: the token's subject, and the client where it names one. */
  readonly who: string;
  readonly role: AdminRole;
  /** Whose events are seen and acted on; undefined for all, and for the worker itself. */
  readonly tenants?: Tenants;
}

export interface Authenticator {
  /** Throws `Problem` for who is not let in. */
  callerOf(authorization: string | undefined): Promise<Caller>;
}

/** Never one with a shared secret, which an issuer's public key could be taken for, and never none. */
const algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
const clockToleranceSeconds = 30;
const tokenCharactersMax = 16_384;
const discoveryMs = 5_000;

export const openToAll: Authenticator = { callerOf: () => Promise.resolve({ who: "local", role: "admin" }) };

export class TokenAuthenticator implements Authenticator {
  readonly #settings: AdminAuthSettings;
  #keys: Promise<JWTVerifyGetKey> | undefined;

  constructor(settings: AdminAuthSettings) {
    this.#settings = settings;
  }

  async callerOf(authorization: string | undefined): Promise<Caller> {
    const token = /^Bearer ([\w.~+/-]+=*)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined || token.length > tokenCharactersMax)
      throw new Problem("no-token", "expected 'Authorization: Bearer …' with a token of the configured issuer");
    const payload = await this.#verified(token);
    const role = this.#roleOf(payload);
    const who = [payload.sub, payload["client_id"] ?? payload["azp"]].filter((part) => typeof part === "string" && part !== "").join(" by ");
    if (role === undefined)
      throw new Problem("forbidden", `expected the claim '${this.#settings.rolesClaim}' to name a role of this worker for '${who}', found none`);
    return { who, role, tenants: this.#tenantsOf(payload, who) };
  }

  async #verified(token: string): Promise<JWTPayload> {
    const { issuer, audience } = this.#settings;
    const keys = await this.#issuersKeys();
    try {
      const { payload } = await jwtVerify(token, keys, { issuer, audience, algorithms, clockTolerance: clockToleranceSeconds, requiredClaims: ["exp", "sub"] });
      return payload;
    } catch (error) {
      if (
        error instanceof errors.JOSEError &&
        !(error instanceof errors.JWKSTimeout) &&
        !(error instanceof errors.JWKSInvalid) &&
        error.code !== errors.JOSEError.code
      )
        throw new Problem("bad-token", messageOf(error, 200));
      throw new Problem("unavailable", `expected the issuer's keys, found: ${messageOf(error, 200)}`, {}, 5);
    }
  }

  /** Who does not say for whom, where that is asked for, is not let in: a claim that was forgotten is no leave to see everything. */
  #tenantsOf(payload: JWTPayload, who: string): Tenants {
    const { tenantsClaim, allTenants } = this.#settings;
    if (tenantsClaim === undefined) return undefined;
    const tenants = textsOf(payload[tenantsClaim]);
    if (tenants.length === 0)
      throw new Problem("forbidden", `expected the claim '${tenantsClaim}' to name the tenants that '${who}' acts for, or '${allTenants}' for all, found none`);
    return tenants.includes(allTenants) ? undefined : new Set(tenants);
  }

  /** The most that any of the claim's values gives. */
  #roleOf(payload: JWTPayload): AdminRole | undefined {
    const { rolesClaim, roles } = this.#settings;
    const values = textsOf(payload[rolesClaim]);
    return adminRoles.findLast((role) => roles[role].some((value) => values.includes(value)));
  }

  async #issuersKeys(): Promise<JWTVerifyGetKey> {
    this.#keys ??= this.#findKeys();
    try {
      return await this.#keys;
    } catch (error) {
      this.#keys = undefined;
      throw new Problem("unavailable", `expected the issuer to say where its keys lie, found: ${messageOf(error, 200)}`, {}, 5);
    }
  }

  async #findKeys(): Promise<JWTVerifyGetKey> {
    const { issuer, jwksUrl } = this.#settings;
    return createRemoteJWKSet(new URL(jwksUrl ?? (await discover(issuer))), { cooldownDuration: 10_000 });
  }
}

/** A list, or a text with spaces between. */
function textsOf(claim: unknown): readonly string[] {
  const texts = Array.isArray(claim) ? claim.map(String) : typeof claim === "string" ? claim.split(" ") : [];
  return texts.filter((text) => text !== "");
}

async function discover(issuer: string): Promise<string> {
  const place = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const answer = await fetch(place, { signal: AbortSignal.timeout(discoveryMs), redirect: "error" });
  if (!answer.ok) throw new Error(`HTTP ${answer.status} from ${place}`);
  const found = (await answer.json()) as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
  if (found.issuer !== issuer || typeof found.jwks_uri !== "string") throw new Error(`${place} is not about ${issuer}, or names no jwks_uri`);
  return found.jwks_uri;
}
