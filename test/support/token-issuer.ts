// A real OpenID provider on loopback, which gives access tokens to clients by their secrets.
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Provider } from "oidc-provider";
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from "jose";

export interface TokenIssuer {
  readonly issuer: string;
  /** What it signs with. */
  readonly privateKey: JWK;
  readonly publicKey: JWK;
  /** Of a client whose tokens have these roles, for this audience. */
  token(roles: readonly string[], audience: string): Promise<string>;
  /** As it would issue one to somebody who acts for these tenants. */
  tokenFor(who: string, role: string, tenants: readonly string[], audience: string): Promise<string>;
  stop(): Promise<void>;
}

const secret = "not-a-secret";

export async function startTokenIssuer(): Promise<TokenIssuer> {
  const server: Server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const keys = await generateKeyPair("RS256", { extractable: true });
  const privateKey = { ...(await exportJWK(keys.privateKey)), kid: "key-1", alg: "RS256", use: "sig" };
  const client = { client_id: "operators", client_secret: secret, grant_types: ["client_credentials"], redirect_uris: [], response_types: [] };
  let roles: readonly string[] = [];
  const provider = new Provider(issuer, {
    clients: [client],
    jwks: { keys: [privateKey] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context: object, audience: string) => ({
          scope: "",
          audience,
          accessTokenFormat: "jwt",
          accessTokenTTL: 300,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
    extraTokenClaims: () => ({ roles }),
  });
  server.on("request", provider.callback());
  return {
    issuer,
    privateKey,
    publicKey: { ...(await exportJWK(keys.publicKey)), kid: "key-1", alg: "RS256", use: "sig" },
    async token(wanted, audience) {
      roles = wanted;
      const body = new URLSearchParams({ grant_type: "client_credentials", client_id: client.client_id, client_secret: secret, resource: audience });
      const answer = await fetch(`${issuer}/token`, { method: "POST", body });
      const { access_token: token } = (await answer.json()) as { readonly access_token?: string };
      if (token === undefined) throw new Error(`expected a token, found HTTP ${answer.status}`);
      return token;
    },
    async tokenFor(who, role, tenants, audience) {
      const claims = { sub: who, roles: [`holdfast.${role}`], tenants: [...tenants], aud: audience, iss: issuer };
      const key = await importJWK(privateKey, "RS256");
      return new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: "key-1" }).setIssuedAt().setExpirationTime("30m").sign(key);
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
