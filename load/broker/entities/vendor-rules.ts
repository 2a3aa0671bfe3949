// Rules in a configuration: in the vendor's form, and in our own short one.
import { type CorrelationField, type FilterDescription, Rule, type RuleDescription, type SqlText } from "../filters/rules.ts";
import type { Constant } from "../filters/sql-ast.ts";
import { FilterSyntaxError } from "../filters/sql-lexer.ts";
import { BrokerConfigError, checkKeys, type Fields, fieldsOf, text } from "./config-checks.ts";

/** The vendor's names for what a correlation filter compares. */
const vendorFields: ReadonlyMap<string, CorrelationField> = new Map<string, CorrelationField>([
  ["ContentType", "contentType"],
  ["CorrelationId", "correlationId"],
  ["Label", "subject"],
  ["MessageId", "messageId"],
  ["ReplyTo", "replyTo"],
  ["ReplyToSessionId", "replyToSessionId"],
  ["SessionId", "sessionId"],
  ["To", "to"],
]);

const ownFields: ReadonlyMap<string, CorrelationField> = new Map([...vendorFields.values()].map((name) => [name, name]));

/**
 * `{ Name, Properties: { FilterType: "Sql" | "Correlation", SqlFilter: { SqlExpression }, CorrelationFilter, Action } }`. The type
 * can be left out; without a filter a rule selects every message.
 */
export function vendorRule(where: string, item: unknown): RuleDescription {
  const fields = fieldsOf(where, item);
  checkKeys(where, fields, ["Name", "Properties"]);
  const properties = fieldsOf(`${where}.Properties`, fields["Properties"] ?? {});
  checkKeys(`${where}.Properties`, properties, ["FilterType", "SqlFilter", "CorrelationFilter", "Action"]);
  const { Action: action } = properties as { Action?: unknown };
  return checked(where, {
    name: String(text(`${where}.Name`, fields["Name"])),
    filter: vendorFilter(`${where}.Properties`, properties),
    action: action === undefined || action === null ? undefined : sqlOf(`${where}.Properties.Action`, action),
  });
}

function vendorFilter(where: string, { FilterType: type, SqlFilter: sql, CorrelationFilter: correlation }: Fields): FilterDescription {
  if (!isNone(type) && type !== "Sql" && type !== "Correlation") throw new BrokerConfigError(`${where}.FilterType`, "Sql or Correlation", type);
  const isCorrelation = type === "Correlation" || (isNone(type) && !isNone(correlation));
  const other = isCorrelation ? (["SqlFilter", sql] as const) : (["CorrelationFilter", correlation] as const);
  if (!isNone(other[1]))
    throw new BrokerConfigError(`${where}.${other[0]}`, `none beside a ${isCorrelation ? "CorrelationFilter" : "filter of the type Sql"}`, other[1]);
  if (isCorrelation) return correlationOf(`${where}.CorrelationFilter`, correlation, "Properties", vendorFields);
  if (isNone(type) && isNone(sql)) return { kind: "sql", expression: "1=1", parameters: new Map() };
  return { kind: "sql", ...sqlOf(`${where}.SqlFilter`, sql) };
}

/** People leave out what they do not need, or write null. */
function isNone(value: unknown): boolean {
  return value === undefined || value === null;
}

/** `{ name, sql }` or `{ name, correlation: { subject, …, properties } }`, each with an `action` if wanted; neither = everything. */
export function ownRule(where: string, item: unknown): RuleDescription {
  const { name, sql, correlation, action, ...rest } = fieldsOf(where, item);
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw new BrokerConfigError(`${where}.${unknown}`, "one of name, sql, correlation, action", rest[unknown]);
  if (sql !== undefined && correlation !== undefined) throw new BrokerConfigError(where, "sql or correlation, not both", Object.keys(fieldsOf(where, item)));
  const filter: FilterDescription =
    correlation !== undefined
      ? correlationOf(`${where}.correlation`, correlation, "properties", ownFields)
      : sql === undefined
        ? { kind: "true" }
        : { kind: "sql", expression: String(text(`${where}.sql`, sql)), parameters: new Map() };
  return checked(where, {
    name: String(text(`${where}.name`, name)),
    filter,
    action: action === undefined ? undefined : { expression: String(text(`${where}.action`, action)), parameters: new Map() },
  });
}

function sqlOf(where: string, item: unknown): SqlText {
  const fields = fieldsOf(where, item);
  checkKeys(where, fields, ["SqlExpression"]);
  return { expression: String(text(`${where}.SqlExpression`, fields["SqlExpression"])), parameters: new Map() };
}

function correlationOf(where: string, item: unknown, propertiesKey: string, names: ReadonlyMap<string, CorrelationField>): FilterDescription {
  const fields = new Map<CorrelationField, string>();
  const properties = new Map<string, Constant>();
  for (const [key, value] of Object.entries(fieldsOf(where, item))) {
    if (key === propertiesKey) {
      for (const [name, expected] of Object.entries(fieldsOf(`${where}.${key}`, value))) properties.set(name, valueOf(`${where}.${key}.${name}`, expected));
      continue;
    }
    const field = names.get(key);
    if (field === undefined) throw new BrokerConfigError(`${where}.${key}`, `one of ${[...names.keys()].join(", ")}, ${propertiesKey}`, value);
    if (value !== null && value !== "") fields.set(field, String(text(`${where}.${key}`, value)));
  }
  return { kind: "correlation", fields, properties };
}

function valueOf(where: string, value: unknown): Constant {
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value))
    throw new BrokerConfigError(where, "a number below 2^53, beyond which JSON rounds", value);
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  throw new BrokerConfigError(where, "text, a number, true or false", value);
}

function checked(where: string, rule: RuleDescription): RuleDescription {
  try {
    return new Rule(rule, 0).description;
  } catch (error) {
    if (error instanceof FilterSyntaxError) throw new BrokerConfigError(where, `a filter and an action that can be read (${error.message})`, rule.name);
    throw error;
  }
}
