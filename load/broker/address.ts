// Where a broker listens, and how clients find it.
import { isIP } from "node:net";
import { type AccessKey, allRights, emulatorKey, grantOf } from "./security/keys.ts";

/** The broker is not to listen there. */
export class BrokerHostError extends Error {
  readonly code = "BrokerHost";
}

/**
 * Others than this machine's programs may reach it only with keys of their own: everybody knows the emulator's.
 *
 * @throws BrokerHostError
 */
export function checkHost(host: string, keys: readonly AccessKey[] | undefined): void {
  if (keys !== undefined || isLoopback(host)) return;
  const { name, key } = emulatorKey;
  throw new BrokerHostError(
    `expected keys with the address ${host}, which others can reach, found none; say who may come in with --key name=key (or --key ${name}=${key} for the emulator's, which everybody knows), or leave --host out`,
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

export interface ConnectionStrings {
  readonly plain: string;
  /** The same without its key, for whoever may look over one's shoulder. */
  readonly shown: string;
}

export function connectionStrings(host: string, port: number, keys: readonly AccessKey[] | undefined): ConnectionStrings {
  const { name, key, entity } = bestOf(keys ?? [emulatorKey]);
  const reached = host === "0.0.0.0" || host === "::" ? "localhost" : host;
  const text = (secret: string): string =>
    `Endpoint=sb://${isIP(reached) === 6 ? `[${reached}]` : reached}:${port};SharedAccessKeyName=${name};SharedAccessKey=${secret};${entity === undefined ? "" : `EntityPath=${entity};`}UseDevelopmentEmulator=true`;
  return { plain: text(key), shown: text(keys === undefined ? key : "…") };
}

/** The key that is good for most. */
function bestOf(keys: readonly AccessKey[]): AccessKey {
  const score = (key: AccessKey): number => (key.entity === undefined ? allRights.length + 1 : 0) + grantOf(key).rights.size;
  return keys.reduce((best, key) => (score(key) > score(best) ? key : best));
}
