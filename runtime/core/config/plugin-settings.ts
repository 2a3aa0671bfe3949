// What the configuration says to plugins, by the plugin's name: what it has to be, each plugin says itself.
import { z } from "zod";
import { Secret } from "../secret.ts";
import { byName } from "./fields.ts";
import { reference } from "./secrets.ts";

/** What a plugin is told. Any text of it may be given by reference, as in `password: { file: "/run/secrets/shop" }`; see the plugin for what there is. */
export type PluginSettingsConfig = Readonly<Record<string, unknown>>;

const referenceKeys: readonly string[] = ["file", "env", "keyVault"];

function isReference(value: object): boolean {
  const [key, ...others] = Object.keys(value);
  return others.length === 0 && key !== undefined && referenceKeys.includes(key);
}

/** An object whose only key is `file`, `env` or `keyVault` stands for the text that lies there. */
function withSecrets(value: unknown, path: readonly PropertyKey[], context: z.RefinementCtx): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((entry, index) => withSecrets(entry, [...path, index], context));
  if (!isReference(value)) return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withSecrets(entry, [...path, key], context)]));
  const place = reference.safeParse(value);
  if (place.success) return new Secret(place.data, (text) => (text === "" ? "expected a text that is not empty" : undefined));
  context.addIssue({
    code: "custom",
    path: [...path],
    message: "expected a reference: a file's name, a variable's, or https://NAME.vault.azure.net/secrets/SECRET",
  });
  return value;
}

const settings: z.ZodType<PluginSettingsConfig, PluginSettingsConfig> = z
  .record(z.string(), z.unknown())
  .transform((given, context): PluginSettingsConfig =>
    Object.fromEntries(Object.entries(given).map(([key, value]) => [key, withSecrets(value, [key], context)])),
  );

export const pluginSettingsSchema: z.ZodType<ReadonlyMap<string, PluginSettingsConfig>, Readonly<Record<string, PluginSettingsConfig>>> = byName(settings);
