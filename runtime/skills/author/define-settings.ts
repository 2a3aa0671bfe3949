// What an operator tells a plugin: addresses, limits of business, passwords.
import { checkKeys, refuse } from "./check-options.ts";
import { type PayloadSchema, checkSchema } from "./schema.ts";

/** What `defineSettings` takes. */
export interface SettingsOptions<Values> {
  /** What they must be, as an object: any Standard Schema validator (zod, valibot, …), or a JSON Schema. Its defaults hold where the configuration says nothing. */
  readonly schema: PayloadSchema<Values>;
  /**
   * Keys of what nobody may see, `smtp.password` for one inside, `accounts.pin` for that of each entry of a list. They are kept out of logs, failures and `holdfast config`, and so is whatever the
   * configuration gives by reference. Default: none.
   */
  readonly secrets?: readonly string[];
}

/** Settings of a plugin. Made by `defineSettings`. */
export interface Settings<Values> {
  readonly kind: "holdfast.settings";
  readonly schema: PayloadSchema<Values>;
  readonly secrets: readonly string[];
}

/** What gives settings their values. */
export interface SettingsReader {
  /**
   * The values of the plugin's settings as they are now, frozen: what is replaced while the worker runs, such as a password, is in what the next call gives.
   * Throws a `PermanentError`, `SETTINGS_UNKNOWN`, for settings that no plugin of this thread declares.
   */
  readonly settings: <Values>(settings: Settings<Values>) => Values;
}

const secretPattern = /^[^.\s]+(?:\.[^.\s]+)*$/;

/**
 * Defines the settings of a plugin, which declares them in `definePlugin`; their values stand in the configuration, in `settings`, under the plugin's name. Skills get
 * them by `context.settings`, request functions, resources and `warmUp` by `settings` of what they are given. Throws `ConfigurationError`.
 */
export function defineSettings<Values>(options: SettingsOptions<Values>): Settings<Values> {
  checkKeys("settings", options, ["schema", "secrets"]);
  const { schema, secrets = [] } = options;
  checkSchema("settings.schema", schema);
  if (!Array.isArray(secrets) || !secrets.every((key) => typeof key === "string" && secretPattern.test(key)))
    refuse("settings.secrets", "a list of keys, such as password or smtp.password", secrets);
  return Object.freeze({ kind: "holdfast.settings", schema, secrets: [...secrets] });
}

export function isSettings(value: unknown): value is Settings<unknown> {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "holdfast.settings";
}
