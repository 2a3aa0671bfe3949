/** The secrets that the configuration refers to: read before anything is connected, and looked after while the worker runs. */
import { readSecrets, type ReadVault, SecretKeeper } from "../adapters/secrets/secret-keeper.ts";
import { ownIdentity } from "./identity.ts";
import type { Config } from "../core/config.ts";
import { secretsIn } from "../core/config/secrets.ts";
import type { RuntimeEvent, SecretChangedEvent } from "../core/catalogue.ts";
import type { Reporter } from "../ports/telemetry.ts";

/** The library is loaded with the first secret that lies there. */
const readVault: ReadVault = async (identifier) => {
  const [{ readVaultSecret }, credential] = await Promise.all([import("../adapters/secrets/key-vault.ts"), ownIdentity()]);
  return readVaultSecret(identifier, { credential });
};

/** Reads those that have not been read; idempotent. Throws `ConfigurationError`. */
export async function openSecrets(config: object, directory: string): Promise<void> {
  await readSecrets(secretsIn(config), { directory, readVault });
}

/** Has new values taken while the worker runs; undefined where nothing lies elsewhere. */
export function composeSecretKeeper(
  config: Config,
  directory: string,
  { tell, replaced }: { readonly tell: (event: RuntimeEvent) => void; readonly replaced: () => void },
): Reporter | undefined {
  const secrets = secretsIn(config);
  if (secrets.length === 0) return undefined;
  // Skills see what the settings of their plugins are now.
  const heard = (event: SecretChangedEvent): void => {
    if (event.state === "replaced") replaced();
    tell(event);
  };
  const keeper = new SecretKeeper({ secrets, directory, readVault, vaultEveryMs: config.secrets.keyVaultEveryMs, tell: heard });
  const stop = (): void => keeper.stop();
  return { start: () => keeper.start(), stop: () => Promise.resolve(stop()), giveUp: stop };
}
