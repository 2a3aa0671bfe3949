// Secrets of the configuration: written out, or by reference to where they lie.
import { z } from "zod";
import { Secret, type SecretPlace, type SecretText } from "../secret.ts";
import { dayMs, integer } from "./fields.ts";

/** The text itself, or where it lies: in a file (relative to the configuration's folder), a variable, or Key Vault (`https://NAME.vault.azure.net/secrets/SECRET`). */
export type SecretInput = string | SecretPlace;

export const reference: z.ZodType<SecretPlace, SecretPlace> = z.union([
  z.strictObject({ file: z.string().min(1) }),
  z.strictObject({ env: z.string().regex(/^[A-Za-z_]\w*$/, "expected the name of a variable") }),
  z.strictObject({
    keyVault: z.string().regex(/^https:\/\/[A-Za-z0-9.:-]+\/secrets\/[A-Za-z0-9-]+(\/[A-Za-z0-9]+)?$/, "expected https://NAME.vault.azure.net/secrets/SECRET"),
  }),
]);

/** A text that is shown to nobody; what it has to be holds for what is read from elsewhere too. */
export function secret(schema: z.ZodType<string, string>): z.ZodType<SecretText, SecretInput> {
  const check = (value: string): string | undefined => {
    const result = schema.safeParse(value);
    return result.success ? undefined : (result.error.issues[0]?.message ?? "another text");
  };
  return z.union([schema.meta({ writeOnly: true }), reference.transform((place): SecretText => new Secret(place, check))]);
}

/** How secrets that lie elsewhere are looked after. Files are looked at four times a second. */
export interface SecretsConfig {
  /** How often Key Vault is asked for new values; 1 000 to 86 400 000, default 60 000. */
  readonly keyVaultEveryMs?: number | undefined;
}

export interface SecretsSettings {
  readonly keyVaultEveryMs: number;
}

export const secretsSchema: z.ZodType<SecretsSettings, SecretsConfig> = z.strictObject({ keyVaultEveryMs: integer(1_000, dayMs).default(60_000) });

/** All secrets of a checked configuration that lie elsewhere, with their keys. */
export function secretsIn(value: unknown, path: readonly string[] = []): readonly { readonly key: string; readonly secret: Secret }[] {
  if (value instanceof Secret) return [{ key: path.join("."), secret: value }];
  if (typeof value !== "object" || value === null) return [];
  const entries: Iterable<readonly [unknown, unknown]> = value instanceof Map ? value : Object.entries(value);
  return Array.from(entries).flatMap(([key, entry]) => secretsIn(entry, [...path, String(key)]));
}
