// Checks that every form of configuration shares.

/** A configuration that cannot be used; the message says where, what was expected and what was found. */
export class BrokerConfigError extends Error {
  readonly code = "BrokerConfig";
  constructor(where: string, expected: string, found: unknown) {
    super(`${where}: expected ${expected}, found ${found === undefined ? "nothing" : JSON.stringify(found)}`);
    this.name = "BrokerConfigError";
  }
}

export type Fields = Readonly<Record<string, unknown>>;

const namePattern = /^[A-Za-z0-9]$|^[A-Za-z0-9][\w\-./]*[A-Za-z0-9]$/;

export type Check = (where: string, value: unknown) => unknown;

export const positive: Check = (where, value) => {
  if (typeof value !== "number" || !(value > 0)) throw new BrokerConfigError(where, "a number above 0", value);
  return value;
};

export const whole: Check = (where, value) => {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1) throw new BrokerConfigError(where, "a whole number of at least 1", value);
  return value;
};

export const flag: Check = (where, value) => {
  if (typeof value !== "boolean") throw new BrokerConfigError(where, "true or false", value);
  return value;
};

export const statuses: readonly string[] = ["Active", "Disabled", "SendDisabled", "ReceiveDisabled"];

export const status: Check = (where, value) => {
  if (typeof value !== "string" || !statuses.includes(value)) throw new BrokerConfigError(where, `one of ${statuses.join(", ")}`, value);
  return value;
};

export const text: Check = (where, value) => {
  if (typeof value !== "string" || value === "") throw new BrokerConfigError(where, "a name", value);
  return value;
};

export function fieldsOf(where: string, value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new BrokerConfigError(where, "an object", value);
  return value as Fields;
}

/** Keys that are not known would be dropped with whatever they were meant to say. */
export function checkKeys(where: string, fields: Fields, known: readonly string[]): void {
  const unknown = Object.keys(fields).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw new BrokerConfigError(`${where}.${unknown}`, known.length === 1 ? `${known.join("")} alone` : `one of ${known.join(", ")}`, fields[unknown]);
}

export function listOf(where: string, value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new BrokerConfigError(where, "a list", value);
  return value;
}

/** Whether a queue or topic can have this name. */
export function isName(name: string): boolean {
  return name.length <= 260 && namePattern.test(name);
}

export function nameOf(where: string, value: unknown): string {
  if (typeof value !== "string" || !isName(value)) {
    throw new BrokerConfigError(where, "a name of letters, digits, dots, hyphens, underscores and slashes that begins and ends with a letter or digit", value);
  }
  return value;
}
