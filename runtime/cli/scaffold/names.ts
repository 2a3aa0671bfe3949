/** Names of what is made, in the forms that code and folders need. */
import { ConfigurationError } from "../../core/errors.ts";
import { show } from "../../skills/author/check-options.ts";

const kebabPattern = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
const typePattern = /^[A-Z][A-Za-z0-9]{0,127}$/;
const charactersMax = 64;

/** Refuses a name that would not do for a folder, a skill and a module alike. */
export function checkName(owner: string, name: string): string {
  if (!kebabPattern.test(name) || name.length > charactersMax)
    throw new ConfigurationError(
      `${owner}: expected words of a-z 0-9 joined by '-', ${charactersMax} characters at most, such as 'order-refund', got ${show(name)}`,
    );
  return name;
}

export function checkEventType(type: string): string {
  if (!typePattern.test(type)) throw new ConfigurationError(`--event: expected a type such as 'RefundRequested', got ${show(type)}`);
  return type;
}

/** `order-refund` as `orderRefund`. */
export function camelCase(name: string): string {
  return name.replaceAll(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** `order-refund` as `OrderRefund`. */
export function pascalCase(name: string): string {
  const camel = camelCase(name);
  return `${camel.slice(0, 1).toUpperCase()}${camel.slice(1)}`;
}
