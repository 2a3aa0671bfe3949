/** The workload's own identity, by which it logs in where it has no key: one for the process, which keeps its tokens. */
import type { TokenCredential } from "@azure/identity";

let identity: Promise<TokenCredential> | undefined;

/** None of the ways to an identity is open here. */
export class NoIdentityError extends Error {
  override readonly name = "NoIdentityError";

  constructor() {
    super("no Azure identity to log in with: run `az login`, give the workload an identity, or name a connection string");
  }
}

/** Its library is loaded when it is first asked for. */
export function ownIdentity(): Promise<TokenCredential> {
  identity ??= import("@azure/identity").then(({ DefaultAzureCredential }) => inOneSentence(new DefaultAzureCredential()));
  return identity;
}

/** The same, which says that there is no identity in one sentence. What is wrong with one that there is stays as it was said. */
export function inOneSentence(credential: TokenCredential): TokenCredential {
  return {
    async getToken(scopes, options) {
      try {
        return await credential.getToken(scopes, options);
      } catch (error) {
        throw isUnavailable(error) ? new NoIdentityError() : error;
      }
    },
  };
}

function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ("errors" in error && Array.isArray(error.errors)) return error.errors.length > 0 && error.errors.every(isUnavailable);
  return error.name === "CredentialUnavailableError";
}
