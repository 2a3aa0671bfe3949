/** Reads a secret of Azure Key Vault with an identity. One client a vault keeps its token. */
import { SecretClient, type SecretClientOptions } from "@azure/keyvault-secrets";
import { messageOf } from "../../core/errors.ts";

export interface KeyVaultOptions {
  /** What the identity libraries' credentials look like. */
  readonly credential: ConstructorParameters<typeof SecretClient>[1];
  /** For a vault of a test's own. */
  readonly client?: SecretClientOptions;
}

/** A vault that does not answer is asked again at the next look. */
const retriesMax = 1;
const answerTimeoutMs = 10_000;

const clients = new Map<string, SecretClient>();

/** `identifier`: `https://VAULT/secrets/NAME`, or with `/VERSION` behind it. Rejects when it cannot be had. */
export async function readVaultSecret(identifier: string, { credential, client: options = {} }: KeyVaultOptions): Promise<string> {
  const { origin, pathname } = new URL(identifier);
  const [, , name = "", version] = pathname.split("/");
  const client = clients.get(origin) ?? new SecretClient(origin, credential, { retryOptions: { maxRetries: retriesMax }, ...options });
  clients.set(origin, client);
  try {
    const { value } = await client.getSecret(name, {
      ...(version === undefined ? {} : { version }),
      abortSignal: AbortSignal.timeout(answerTimeoutMs),
    });
    if (value === undefined) throw new Error("a secret without a value");
    return value;
  } catch (error) {
    throw new Error(`expected Key Vault to give '${name}', found ${messageOf(error, 200)}`, { cause: error });
  }
}
