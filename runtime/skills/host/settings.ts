/**
 * Settings of plugins: what the configuration gives, held against what the plugin says they are. They are checked where the configuration is read, and again in each
 * thread, since what a schema makes of a value need not be something that can be sent there.
 */
import { capitals } from "../../core/config/environment.ts";
import { expectation } from "../../core/config/expectation.ts";
import { valueAt } from "../../core/config/value-at.ts";
import { isSecretName } from "../../core/redact.ts";
import { Secret } from "../../core/secret.ts";
import type { Settings } from "../author/define-settings.ts";
import { PermanentError } from "../author/errors.ts";
import { type Checked, type CheckValue, compileSchema, type SchemaIssue } from "./schema-check.ts";

/** What a plugin is told, as it gets into a thread. */
export interface GivenSettings {
  /** Plain data, secrets revealed. */
  readonly input: Readonly<Record<string, unknown>>;
  /** Texts of it that nobody may see. */
  readonly hidden: readonly string[];
}

/** Of a plugin's settings, what is looked at when they are checked. */
export interface SettingsCheck {
  readonly settings: Settings<unknown>;
  readonly check: CheckValue;
  /** As errors name it: `settings.shop`. */
  readonly place: string;
  /** What to do about a wrong value, where it is not from the configuration. */
  readonly remedy?: string;
}

export async function compileSettings(plugin: string, settings: Settings<unknown>): Promise<SettingsCheck> {
  const check = await compileSchema(`plugin '${plugin}': settings.schema`, settings.schema, { fillsDefaults: true });
  return { settings, check, place: `settings.${plugin}` };
}

export type ReadSettings = { readonly ok: true; readonly values: unknown } | { readonly ok: false; readonly lines: readonly string[] };

/** Texts that are read as JSON, one after the other: a schema may say of one mistake at a time. */
const readingsMax = 100;

/**
 * Checks `given`, whose secrets are `Secret`s or revealed. Variables, flags and secrets are texts: one that the schema does not take is read as JSON, so that a number or a list can
 * come from there. What is wrong at a secret that has not been read is nobody's mistake.
 */
export async function readSettings({ check, ...about }: SettingsCheck, given: unknown): Promise<ReadSettings> {
  let input = revealed(given);
  let checked = await check(structuredClone(input));
  for (let reading = 0; reading < readingsMax && !checked.ok; reading += 1) {
    const read = checked.issues.reduce((whole, { path }) => withJson(whole, path), input);
    if (read === input) break;
    input = read;
    checked = await check(structuredClone(input));
  }
  return judge(checked, { ...about, given });
}

/** Why a secret cannot have this value; undefined also where the schema takes its time to say. */
export function whyNot({ check, settings, place }: SettingsCheck, given: unknown, secret: Secret, value: string): string | undefined {
  const plain = revealed(given, secret, value);
  let input = plain;
  for (let reading = 0; reading < readingsMax; reading += 1) {
    const checked = check(structuredClone(input));
    if (checked instanceof Promise || checked.ok) return undefined;
    const read = checked.issues.reduce((whole, { path }) => withJson(whole, path), input);
    if (read === input) {
      // What is found at secrets is told by how long it is.
      const judged = judge(checked, { settings, place, given: withTried(given, secret, value) });
      return judged.ok ? undefined : judged.lines[0];
    }
    input = read;
  }
  return undefined;
}

function judge(checked: Checked, about: Omit<SettingsCheck, "check"> & { readonly given: unknown }): ReadSettings {
  if (checked.ok) return { ok: true, values: frozen(checked.value) };
  const lines = checked.issues.filter((issue) => !isUnread(issue, about.given)).map((issue) => lineOf(issue, about));
  return lines.length === 0 ? { ok: true, values: undefined } : { ok: false, lines };
}

function isUnread({ path, missing }: SchemaIssue, given: unknown): boolean {
  const found = valueAt(given, missing === undefined ? path : [...path, missing]);
  return found instanceof Secret && !found.isRead;
}

function lineOf(
  { path, message, missing, additional }: SchemaIssue,
  { settings, place, given, remedy }: Omit<SettingsCheck, "check"> & { readonly given: unknown },
): string {
  const whole = missing === undefined ? path : [...path, missing];
  const expected = missing === undefined ? issueText(message, additional) : "expected a value";
  const value = valueAt(given, whole);
  const found = shownAs(value, isSecretAt(settings, whole, value));
  const key = [place, ...whole].join(".");
  const said = `${key}: ${withoutTexts(expected, hiddenIn(settings, given))}, found ${found}`;
  return additional === undefined ? `${said}; ${remedy ?? `set it in the configuration${orVariable([place, ...whole])}`}` : `${said}; take '${additional}' out`;
}

/** The variable that sets it, where one leads back to this key: names that variables cannot write have none. */
function orVariable(parts: readonly string[]): string {
  const keys = parts.flatMap((part, index) => (index === 0 ? part.split(".") : [part]));
  const isWritten = keys.every((key) => /^[a-z][a-z0-9]*(?:[A-Z][a-z0-9]+)*$/.test(key));
  return isWritten ? ` or as HOLDFAST_${keys.map(capitals).join("__")}` : "";
}

function issueText(message: string, additional: string | undefined): string {
  return additional === undefined ? expectation(message).replace(/^must be /, "expected ") : `expected no key '${additional}', which the schema does not know`;
}

function withoutTexts(text: string, hidden: readonly string[]): string {
  return hidden.reduce((whole, secret) => (secret.length < 3 ? whole : whole.replaceAll(secret, "[redacted]")), text);
}

function shownAs(value: unknown, isSecret: boolean): string {
  if (value === undefined) return "nothing";
  if (value instanceof Secret) return value.isRead ? `text of ${value.reveal().length} characters in ${String(value)}` : String(value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return `an object with ${Object.keys(value).join(", ") || "no keys"}`;
  if (isSecret) return typeof value === "string" ? `text of ${value.length} characters` : `a ${typeof value}`;
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** Whether what stands there is shown to nobody: by its own name, or as something of what is declared to be secret. Places in lists count for nothing in keys. */
export function isSecretAt({ secrets }: Settings<unknown>, path: readonly string[], value: unknown): boolean {
  const names = path.filter((part) => !/^\d+$/.test(part));
  if (value instanceof Secret || isSecretName(names.at(-1) ?? "")) return true;
  const begins = (key: readonly string[], whole: readonly string[]): boolean => key.every((part, index) => whole[index] === part);
  return secrets.some((key) => begins(key.split("."), path) || begins(key.split("."), names));
}

/** A text that the schema did not take, as what it says in JSON; the same where it says nothing. */
function withJson(input: unknown, path: readonly string[]): unknown {
  const text = valueAt(input, path);
  if (path.length === 0 || typeof text !== "string") return input;
  try {
    return assigned(input, path, JSON.parse(text) as unknown);
  } catch {
    return input;
  }
}

function assigned(input: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  if (key === undefined) return value;
  const inner = assigned(valueAt(input, [key]), rest, value);
  return Array.isArray(input) ? Object.assign([...(input as readonly unknown[])], { [key]: inner }) : { ...(input as object), [key]: inner };
}

/** Plain data: secrets are the texts that they are now, those that have not been read are left out. `other`: of this secret, another value. */
function revealed(value: unknown, secret?: Secret, other?: string): unknown {
  if (value instanceof Secret) return value === secret ? other : value.isRead ? value.reveal() : undefined;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((entry) => revealed(entry, secret, other));
  const entries = Object.entries(value).map(([key, entry]) => [key, revealed(entry, secret, other)] as const);
  return Object.fromEntries(entries.filter(([, entry]) => entry !== undefined));
}

/** The same, where this secret is tried with another value. */
function withTried(value: unknown, secret: Secret, tried: string): unknown {
  if (value === secret) {
    const other = new Secret(secret.place, () => undefined);
    other.replace(tried);
    return other;
  }
  if (value instanceof Secret || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((entry) => withTried(entry, secret, tried));
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withTried(entry, secret, tried)]));
}

/** Texts that nobody may see. */
function hiddenIn(settings: Settings<unknown>, value: unknown, path: readonly string[] = []): readonly string[] {
  if (value instanceof Secret) return value.isRead ? [value.reveal()] : [];
  if (typeof value === "object" && value !== null) return Object.entries(value).flatMap(([key, entry]) => hiddenIn(settings, entry, [...path, key]));
  if (!isSecretAt(settings, path, value)) return [];
  return typeof value === "string" || typeof value === "number" ? [String(value)] : [];
}

/** What the plugin is told now. */
export function givenNow(settings: Settings<unknown>, given: unknown): GivenSettings {
  return { input: revealed(given) as GivenSettings["input"], hidden: hiddenIn(settings, given) };
}

/** Runs of a thread share them. */
function frozen(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return value;
  Object.freeze(value);
  for (const entry of Object.values(value)) frozen(entry);
  return value;
}

/** The settings of a thread's plugins. */
export class ThreadSettingsTable {
  readonly #values = new Map<Settings<unknown>, unknown>();

  set(settings: Settings<unknown>, values: unknown): void {
    this.#values.set(settings, values);
  }

  readonly read = <Values>(settings: Settings<Values>): Values => {
    if (!this.#values.has(settings))
      throw new PermanentError(
        "settings: expected what defineSettings made and the plugin declares, found others; give definePlugin settings, and in a test testSkill settings: provide(…)",
        { code: "SETTINGS_UNKNOWN" },
      );
    return this.#values.get(settings) as Values;
  };
}
