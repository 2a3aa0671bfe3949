/** What a test gives a skill in the place of what its plugin's configuration and its resources would: settings, and what a resource makes. */
import type { EventContracts, UpcastTable } from "../skills/host/event-contracts.ts";
import { ConfigurationError } from "../core/errors.ts";
import { show } from "../skills/author/check-options.ts";
import { type AnyResource, isResource, type Resource } from "../skills/author/define-resource.ts";
import { isSettings, type Settings } from "../skills/author/define-settings.ts";
import { compileSettings, readSettings } from "../skills/host/settings.ts";

/** Values of settings. Made by `provide`. */
export interface ProvidedSettings {
  readonly settings: Settings<unknown>;
  readonly values: Readonly<Record<string, unknown>>;
}

/** What stands in for what a resource makes. Made by `provide`. */
export interface ProvidedResource {
  readonly resource: AnyResource;
  readonly value: unknown;
}

/**
 * For settings: values as the configuration would hold them, checked by their schema, which fills its defaults in. For a resource: what its `open` would make, which is neither made nor
 * closed then. Throws `ConfigurationError` for anything else.
 */
export function provide(settings: Settings<unknown>, values: Readonly<Record<string, unknown>>): ProvidedSettings;
export function provide<Value>(resource: Resource<Value>, value: NoInfer<Value>): ProvidedResource;
export function provide(what: unknown, value: unknown): ProvidedSettings | ProvidedResource {
  if (isSettings(what)) return { settings: what, values: value as ProvidedSettings["values"] };
  if (isResource(what)) return { resource: what, value };
  throw new ConfigurationError(`provide: expected what defineSettings or defineResource made, got ${show(what)}`);
}

/** What is provided, as a thread of a test has it. */
export interface Provided {
  readonly settings: ReadonlyMap<Settings<unknown>, unknown>;
  readonly resources: ReadonlyMap<AnyResource, unknown>;
  /** What payloads are checked by; undefined where the test names none. */
  readonly contracts?: (EventContracts & UpcastTable) | undefined;
  /** Feature flags; none by default. */
  readonly flags?: ReadonlyMap<string, boolean> | undefined;
}

/** Throws `ConfigurationError` for settings that their schema does not take. */
export async function providedOf(settings: ProvidedSettings | undefined, resources: readonly ProvidedResource[]): Promise<Provided> {
  const values = new Map<Settings<unknown>, unknown>();
  if (settings !== undefined) {
    const read = await readSettings(
      { ...(await compileSettings("test", settings.settings)), place: "settings", remedy: "mend it in the values given to provide(…)" },
      settings.values,
    );
    if (!read.ok) throw new ConfigurationError(`testSkill: ${read.lines.join("; ")}`);
    values.set(settings.settings, read.values);
  }
  return { settings: values, resources: new Map(resources.map(({ resource, value }) => [resource, value])) };
}
