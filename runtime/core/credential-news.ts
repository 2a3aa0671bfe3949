/** What is said of tokens that a login lasts by: each is replaced before it ends, or the service closes the connection. */
export interface CredentialNews {
  /** What is logged in to, for people to read. */
  readonly login: string;
  /** Why the token could not be replaced; undefined when it was. */
  readonly error: string | undefined;
  /** How long the token lasts yet; 0 or less when it has ended. */
  readonly leftMs: number;
  /** How long it lasted in all. */
  readonly lifeMs: number;
}

const pauseFirstMs = 5_000;
const pauseMaxMs = 60_000;
const pauseMinMs = 100;
/** Tries that fit at least into what is left, while there is time for them. */
const triesLeft = 4;

/** The pause after so many failures in a row to replace a token: it grows, and is a part of what the token has left. */
export function renewalPauseMs(failures: number, leftMs: number): number {
  const grownMs = Math.min(pauseMaxMs, pauseFirstMs * 2 ** (failures - 1));
  return leftMs > 0 ? Math.max(pauseMinMs, Math.min(grownMs, leftMs / triesLeft)) : grownMs;
}

/** A connection whose token cannot be replaced is reopened so long before the service would close it in the middle of something. */
export function reopenBeforeMs(lifeMs: number): number {
  return Math.min(10_000, lifeMs / 20);
}
