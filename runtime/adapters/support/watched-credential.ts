import type { CredentialNews } from "../../core/credential-news.ts";
import { messageOf } from "../../core/errors.ts";

/** What the identity libraries' credentials look like. */
interface Credential<Arguments extends readonly unknown[]> {
  getToken(...given: Arguments): Promise<{ readonly token: string; readonly expiresOnTimestamp: number } | null>;
}

/** The same credential, whose answers are told: for a client that replaces its tokens by itself. */
export function watchedCredential<Arguments extends readonly unknown[]>(
  credential: Credential<Arguments>,
  login: string,
  heard: (news: CredentialNews) => void,
): Credential<Arguments> {
  let expiresAtMs = 0;
  let lifeMs = 0;
  const failed = (error: string): void => heard({ login, error, leftMs: expiresAtMs - Date.now(), lifeMs });
  return {
    async getToken(...given) {
      try {
        const token = await credential.getToken(...given);
        if (token === null) failed("expected the credential to give a token, found none");
        else if (token.expiresOnTimestamp > expiresAtMs) {
          expiresAtMs = token.expiresOnTimestamp;
          lifeMs = expiresAtMs - Date.now();
          heard({ login, error: undefined, leftMs: lifeMs, lifeMs });
        }
        return token;
      } catch (error) {
        failed(messageOf(error));
        throw error;
      }
    },
  };
}
